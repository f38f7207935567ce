//! Steps that deal with what is missing, end to end.

use super::testing::golden;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_impute() {
    golden("impute").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_impute_auto() {
    golden("impute_auto").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_fill_nulls() {
    golden("fill_nulls").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_drop_nulls() {
    golden("drop_nulls").await;
}
