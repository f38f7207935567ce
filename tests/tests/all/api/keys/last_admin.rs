//! Somebody must stay who can make keys.

use serde_json::json;
use weir_tests::Service;

use super::made;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_key_cannot_be_taken_away() {
    let service = Service::start().await;
    let admin = &service.client;
    // One with an end does not count: it is gone one day.
    let ending = json!({"name": "ending", "role": "admin", "expires_at": "2031-01-01T00:00:00Z"});
    let (_, ending) = made(admin, &ending).await;
    let path = "/v1/api-keys/admin";
    admin
        .delete(path)
        .await
        .expect_problem(409, "last_admin_key");
    for change in [
        json!({"role": "editor"}),
        json!({"expires_at": "2031-01-01T00:00:00Z"}),
    ] {
        admin
            .patch(path, &change)
            .await
            .expect_problem(409, "last_admin_key");
    }
    admin
        .patch(path, &json!({"name": "root"}))
        .await
        .expect_status(200);
    assert_eq!(
        admin.delete(&format!("/v1/api-keys/{ending}")).await.status,
        204
    );
    let (second, _) = made(admin, &json!({"name": "second", "role": "admin"})).await;
    assert_eq!(second.delete("/v1/api-keys/root").await.status, 204);
    admin
        .get("/v1/whoami")
        .await
        .expect_problem(401, "unauthorized");
    second
        .delete("/v1/api-keys/second")
        .await
        .expect_problem(409, "last_admin_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_remove_each_other_one_stays() {
    let service = Service::start().await;
    for _ in 0..5 {
        let admin = &service.client;
        let (one, one_id) = made(admin, &json!({"name": "one", "role": "admin"})).await;
        let (two, two_id) = made(admin, &json!({"name": "two", "role": "admin"})).await;
        let (paths, root) = (
            [one_id, two_id].map(|id| format!("/v1/api-keys/{id}")),
            "/v1/api-keys/admin",
        );
        one.patch(root, &json!({"role": "editor"}))
            .await
            .expect_status(200);
        let (first, second) = tokio::join!(one.delete(&paths[1]), two.delete(&paths[0]));
        let mut told = [first.status, second.status];
        told.sort_unstable();
        // The one that comes second finds its own key gone, or the other the last.
        assert!(told == [204, 409] || told == [204, 401], "{told:?}");
        let (left, rest) = if first.status == 204 {
            (&one, &paths[0])
        } else {
            (&two, &paths[1])
        };
        left.patch(root, &json!({"role": "admin"}))
            .await
            .expect_status(200);
        assert_eq!(admin.delete(rest).await.status, 204);
    }
}
