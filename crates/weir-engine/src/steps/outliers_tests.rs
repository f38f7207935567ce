//! Scales and outliers, end to end.

use super::testing::golden;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_normalize() {
    golden("normalize").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_standardize() {
    golden("standardize").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_remove_outliers() {
    golden("remove_outliers").await;
}
