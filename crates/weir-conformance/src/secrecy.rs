//! Secrets in places where they must never be.

use serde_json::Value;
use weir_core::config::put;
use weir_core::{AnyConnector, Context, Error};

use crate::{Outcome, ensure};

/// Long and odd enough to stand out wherever it turns up.
const CANARY: &str = "c4n4ry-Zq7!x";

/// Puts a canary in every secret field, one at a time, and looks for it in
/// all that a failing source says.
pub(crate) async fn canary(connector: &dyn AnyConnector, config: &Value, ctx: &Context) -> Outcome {
    for path in &connector.facts().secret {
        let mut wrong = config.clone();
        put(&mut wrong, path, Value::from(CANARY));
        let at = path.join("/");
        if let Err(error) = connector.check(&wrong) {
            silent(&error, "check", &at)?;
        }
        let source = match connector.open(wrong, ctx).await {
            Ok(source) => source,
            Err(error) => {
                silent(&error, "open", &at)?;
                continue;
            }
        };
        let (report, outcome) = source.test(ctx).await;
        ensure(
            !format!("{report:?}").contains(CANARY),
            format!("the test report shows the secret {at}"),
        )?;
        if let Err(error) = outcome {
            silent(&error, "test", &at)?;
        }
        // A field of the wrong type must not be quoted either.
        let mut odd = config.clone();
        put(&mut odd, path, serde_json::json!([CANARY]));
        if let Err(error) = connector.check(&odd) {
            silent(&error, "check of a list", &at)?;
        }
    }
    Ok(())
}

/// `Debug` shows both halves of an error, also the one for the log.
fn silent(error: &Error, what: &str, at: &str) -> Outcome {
    ensure(
        !format!("{error:?}").contains(CANARY),
        format!("the error of {what} shows the secret {at}"),
    )
}
