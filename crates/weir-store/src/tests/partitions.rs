use super::{actor, migrated, server, store_at};
use crate::partitions::{Kept, keep};
use crate::{Act, Store};

async fn sql(store: &Store, text: &'static str) {
    sqlx::raw_sql(text).execute(&store.pool).await.unwrap();
}

async fn partitions(store: &Store) -> Vec<(String, i64)> {
    sqlx::query_as(
        "select c.relname::text, (select count(*) from audit a where a.tableoid = c.oid) \
         from pg_inherits i join pg_class c on c.oid = i.inhrelid \
         where i.inhparent = 'audit'::regclass order by 1",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap()
}

async fn write(store: &Store) {
    let act = Act {
        action: "x",
        target_kind: "x",
        target_id: None,
        target_name: None,
        details: serde_json::Value::Null,
    };
    store.record_act(&actor(), act).await.unwrap();
}

#[tokio::test]
async fn days_are_made_ahead_and_dropped_whole() {
    let store = migrated().await;
    // Before there is a partition for it, and for a day long gone.
    write(&store).await;
    sql(
        &store,
        "insert into audit (id, at, class, action, actor, request_id, target_kind) \
         select gen_random_uuid(), now() - days * interval '1 day', 'admin', 'x', 'x', '', 'x' \
         from unnest(array[9, 10, 11, 300]) days",
    )
    .await;
    let (made, dropped) = (8, 2);
    assert_eq!(
        keep(&store, "audit", 3, 10).await.unwrap(),
        Kept { made, dropped }
    );
    let there = partitions(&store).await;
    assert_eq!(there.len(), 7, "{there:?}");
    assert_eq!(there.iter().map(|(_, rows)| rows).sum::<i64>(), 3);
    let rows_of_default = there.iter().find(|(name, _)| name == "audit_default");
    assert_eq!(rows_of_default.unwrap().1, 0, "emptied: {there:?}");
    write(&store).await;
    assert_eq!(
        keep(&store, "audit", 3, 10).await.unwrap(),
        Kept::default(),
        "nothing is left to do"
    );
    let default = partitions(&store).await;
    assert_eq!(default.last().unwrap(), &("audit_default".to_owned(), 0));
}

#[tokio::test]
async fn many_may_keep_them_while_others_write() {
    let url = server::database().await;
    let stores = futures::future::join_all((0..4).map(|_| store_at(&url, 3))).await;
    stores[0].migrate().await.unwrap();
    let keepers = futures::future::join_all(stores.iter().map(|s| keep(s, "audit", 5, 10)));
    let kept = keepers.await;
    let writers = futures::future::join_all(stores.iter().map(write));
    let made: usize = kept.iter().map(|kept| kept.as_ref().unwrap().made).sum();
    assert_eq!(made, 6, "each is made once");
    writers.await;
    let total: i64 = partitions(&stores[0]).await.iter().map(|(_, n)| n).sum();
    assert_eq!(total, 4);
}
