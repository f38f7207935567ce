//! Files: folders of the machine that Weir runs on.
