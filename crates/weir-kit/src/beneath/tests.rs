//! Every way out of the root that is known, tried.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::*;

struct Place {
    home: TempDir,
    rules: PathRules,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let roots = vec![home.path().join("roots")];
        fs::create_dir_all(home.path().join("roots/mine")).unwrap();
        fs::write(home.path().join("secret"), "outside").unwrap();
        fs::write(home.path().join("roots/mine/a.csv"), "inside").unwrap();
        let rules = PathRules {
            roots,
            hard_links: false,
            ..Default::default()
        };
        Place { home, rules }
    }

    fn mine(&self) -> PathBuf {
        self.home.path().join("roots/mine")
    }

    fn root(&self) -> Dir {
        open_root(&self.rules, self.mine().to_str().unwrap()).unwrap()
    }

    fn read(&self, path: &str) -> Result<String> {
        let opened = open_file(&self.root(), path, &self.rules)?;
        Ok(std::io::read_to_string(opened.file).unwrap())
    }

    fn refusal(&self, path: &str) -> &'static str {
        self.read(path).unwrap_err().stable_code()
    }
}

#[test]
fn a_file_below_the_root_opens() {
    let place = Place::new();
    assert_eq!(place.read("a.csv").unwrap(), "inside");
    fs::create_dir(place.mine().join("sub")).unwrap();
    symlink("../a.csv", place.mine().join("sub/link.csv")).unwrap();
    assert_eq!(place.read("sub/link.csv").unwrap(), "inside");
    assert_eq!(place.refusal("b.csv"), "source_not_found");
    assert_eq!(place.refusal("a.csv/b.csv"), "source_not_found");
    assert_eq!(place.refusal("sub"), "source_not_found");
}

#[test]
fn paths_that_are_no_plain_paths_are_refused() {
    let place = Place::new();
    for path in [
        "../../secret",
        "sub/../../../secret",
        "..",
        ".",
        "./a.csv",
        "/etc/passwd",
        "a.csv\0",
        "",
        "//etc/passwd",
        "sub//a.csv",
        "a.csv/",
        "a.csv/.",
    ] {
        assert_eq!(place.refusal(path), "path_not_allowed", "{path:?}");
    }
    assert_eq!(place.refusal(&"a/".repeat(3_000)), "path_not_allowed");
    // Nothing is decoded: this is a name like any other.
    assert_eq!(place.refusal("%2e%2e/secret"), "source_not_found");
    fs::create_dir(place.mine().join("%2e%2e")).unwrap();
    fs::write(place.mine().join("%2e%2e/b.csv"), "literal").unwrap();
    assert_eq!(place.read("%2e%2e/b.csv").unwrap(), "literal");
}

#[test]
fn links_that_lead_out_or_in_circles_are_refused() {
    let place = Place::new();
    let link = |target: &str, name: &str| symlink(target, place.mine().join(name)).unwrap();
    link("../../secret", "out.csv");
    link("/etc/passwd", "absolute.csv");
    link("/proc/self/environ", "environ.csv");
    link("/proc/self/fd/0", "magic.csv");
    link("/dev/zero", "zero.csv");
    link("loop.csv", "loop.csv");
    link("../..", "up");
    link("/", "top");
    for path in [
        "out.csv",
        "absolute.csv",
        "environ.csv",
        "magic.csv",
        "zero.csv",
        "loop.csv",
        "up/secret",
        "top/etc/passwd",
    ] {
        let error = place.read(path).unwrap_err();
        assert_eq!(error.stable_code(), "path_not_allowed", "{path}");
        let text = format!("{error} {:?}", error.hint_text());
        for behind in ["secret", "passwd", "environ", "/proc", "/dev"] {
            assert!(
                path.contains(behind) || !text.contains(behind) || path.contains("environ"),
                "{text}"
            );
        }
    }
}

#[test]
fn only_regular_files_open_and_nothing_hangs() {
    let place = Place::new();
    nix::unistd::mkfifo(&place.mine().join("fifo.csv"), Mode::S_IRWXU).unwrap();
    assert_eq!(place.refusal("fifo.csv"), "path_not_allowed");
    let socket = std::os::unix::net::UnixListener::bind(place.mine().join("socket.csv"));
    assert_eq!(place.refusal("socket.csv"), "path_not_allowed");
    drop(socket);
    if nix::unistd::geteuid().is_root() {
        use nix::sys::stat::{SFlag, makedev, mknod};
        let null = place.mine().join("null.csv");
        // Not every container lets its root make devices.
        if mknod(&null, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3)).is_ok() {
            assert_eq!(place.refusal("null.csv"), "path_not_allowed");
        }
    }
}

#[test]
fn a_second_name_is_refused_unless_allowed() {
    let mut place = Place::new();
    fs::hard_link(
        place.home.path().join("secret"),
        place.mine().join("hard.csv"),
    )
    .unwrap();
    assert_eq!(place.refusal("hard.csv"), "hard_link");
    place.rules.hard_links = true;
    assert_eq!(place.read("hard.csv").unwrap(), "outside");
}

#[test]
fn the_kernels_own_files_are_refused_even_below_an_allowed_root() {
    let rules = PathRules {
        roots: vec!["/".into()],
        hard_links: false,
        ..Default::default()
    };
    for (root, path) in [
        ("/proc/self", "environ"),
        ("/", "proc/self/environ"),
        ("/sys", "kernel/mm/transparent_hugepage/enabled"),
    ] {
        let Ok(root) = open_root(&rules, root) else {
            continue;
        };
        let error = open_file(&root, path, &rules).unwrap_err();
        let refused = ["path_not_allowed", "source_not_found"];
        assert!(refused.contains(&error.stable_code()), "{path}: {error}");
    }
}

#[test]
fn a_root_must_lie_below_an_allowed_folder() {
    let place = Place::new();
    let code = |root: &str, rules: &PathRules| open_root(rules, root).unwrap_err().stable_code();
    assert_eq!(code("/tmp", &PathRules::default()), "no_file_roots");
    let home = place.home.path().to_str().unwrap().to_owned();
    for root in [
        "/",
        "/etc",
        "/proc/self",
        &home,
        &format!("{home}/roots-evil"),
    ] {
        assert_eq!(code(root, &place.rules), "path_not_allowed", "{root}");
    }
    symlink("../..", place.mine().join("up")).unwrap();
    symlink("/etc", place.mine().join("etc")).unwrap();
    for name in ["up", "etc", "etc/ssl"] {
        let root = format!("{home}/roots/mine/{name}");
        assert_eq!(code(&root, &place.rules), "path_not_allowed", "{root}");
    }
    let file = format!("{home}/roots/mine/a.csv");
    assert_eq!(code(&file, &place.rules), "source_not_found");
    let none = format!("{home}/roots/none");
    assert_eq!(code(&none, &place.rules), "source_not_found");
    for bad in ["", "relative", "/a/../b", "/a/./b", "/a\0"] {
        assert!(check_root(bad).is_err(), "{bad:?}");
    }
    assert!(check_root("/srv/data").is_ok());
}

#[test]
fn a_folder_without_permission_says_so() {
    let place = Place::new();
    let closed = place.mine().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("a.csv"), "inside").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
    let error = place.read("closed/a.csv");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    // Nothing is closed to root.
    if !nix::unistd::geteuid().is_root() {
        assert_eq!(error.unwrap_err().stable_code(), "permission");
    }
}

/// A file is swapped for a link that leads out, over and over, while it is read.
#[test]
fn a_race_of_links_never_gives_what_is_outside() {
    let place = Place::new();
    let stop = Arc::new(AtomicBool::new(false));
    let mine = place.mine();
    // Made whole before anybody looks: a file half written is no race of links.
    symlink("../../secret", mine.join("link")).unwrap();
    fs::create_dir(mine.join("dir")).unwrap();
    fs::write(mine.join("dir/secret"), "inside").unwrap();
    symlink("../..", mine.join("dirlink")).unwrap();
    let swapper = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // A rename is atomic, so that one of the two is always there.
                fs::write(mine.join("file"), "inside").unwrap();
                fs::rename(mine.join("file"), mine.join("raced.csv")).unwrap();
                symlink("../../secret", mine.join("file")).unwrap();
                fs::rename(mine.join("file"), mine.join("raced.csv")).unwrap();
                fs::rename(mine.join("dir"), mine.join("d")).unwrap();
                fs::rename(mine.join("dirlink"), mine.join("d2")).unwrap();
                fs::rename(mine.join("d2"), mine.join("dir")).unwrap();
                fs::rename(mine.join("dir"), mine.join("dirlink")).unwrap();
                fs::rename(mine.join("d"), mine.join("dir")).unwrap();
            }
        })
    };
    let root = place.root();
    let mut inside = 0;
    for round in 0..2_000 {
        let path = if round % 2 == 0 {
            "raced.csv"
        } else {
            "dir/secret"
        };
        if let Ok(opened) = open_file(&root, path, &place.rules) {
            assert_eq!(std::io::read_to_string(opened.file).unwrap(), "inside");
            inside += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert!(inside > 0, "the race was never won");
}
