//! Rows profiled.

use weir_core::{Context, Error, Result};

use super::{Profile, ProfileOptions};
use crate::read::Engine;
use crate::steps::Side;

impl Engine {
    /// Statistics, types and suggestions of `rows`, within the memory of `ctx`.
    /// Beyond it: 413 `too_large_to_compute`, unless `approximate`.
    #[expect(clippy::unused_async, reason = "filled in by the next commits")]
    pub async fn profile(
        &self,
        rows: Side,
        options: &ProfileOptions,
        _ctx: &Context,
    ) -> Result<Profile> {
        let _ = (rows, options);
        Err(Error::internal("profiles are not there yet"))
    }
}
