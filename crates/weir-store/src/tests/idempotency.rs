use uuid::Uuid;

use super::migrated;
use crate::{Claimed, IdempotencyClaim, KeptAnswer, Store};

fn claim(instance_id: Uuid, request: u8) -> IdempotencyClaim {
    IdempotencyClaim {
        slot: [7; 32],
        fingerprint: [request; 32],
        instance_id,
        hours: 24,
    }
}

async fn aged(store: &Store, age: &str) {
    let sql = "update idempotency set at = at - $1::interval";
    let aged = sqlx::query(sql).bind(age).execute(&store.pool).await;
    assert_eq!(aged.unwrap().rows_affected(), 1, "{age}");
}

#[tokio::test]
async fn a_claim_stands_until_it_is_answered_or_given_up() {
    let store = migrated().await;
    let here = store.register_instance("0", "here").await.unwrap();
    let Claimed::Ours(at) = store.claim_idempotency(claim(here.id(), 1)).await.unwrap() else {
        panic!("a free slot is ours");
    };
    let again = store.claim_idempotency(claim(here.id(), 1)).await.unwrap();
    assert!(matches!(again, Claimed::Running));
    let other = store.claim_idempotency(claim(here.id(), 2)).await.unwrap();
    assert!(matches!(other, Claimed::Mismatch));
    store.release_idempotency([7; 32], at).await.unwrap();
    let Claimed::Ours(at) = store.claim_idempotency(claim(here.id(), 2)).await.unwrap() else {
        panic!("what was given up is free");
    };
    let answer = KeptAnswer {
        status: 201,
        headers: [("etag".to_owned(), "\"v1\"".to_owned())].into(),
        body: Some(b"{}".to_vec()),
        made: None,
    };
    store.keep_answer([7; 32], at, answer).await.unwrap();
    store.release_idempotency([7; 32], at).await.unwrap();
    let kept = store.claim_idempotency(claim(here.id(), 2)).await.unwrap();
    assert!(
        matches!(&kept, Claimed::Answered(kept) if kept.status == 201 && kept.headers["etag"] == "\"v1\""),
        "{kept:?}"
    );
    aged(&store, "23 hours 59 minutes").await;
    let kept = store.claim_idempotency(claim(here.id(), 2)).await.unwrap();
    assert!(matches!(kept, Claimed::Answered(_)));
    aged(&store, "1 minute").await;
    let later = store.claim_idempotency(claim(here.id(), 3)).await.unwrap();
    assert!(matches!(later, Claimed::Ours(_)), "{later:?}");
}

#[tokio::test]
async fn the_claim_of_an_instance_that_is_gone_may_be_taken_over() {
    let store = migrated().await;
    let gone = store.claim_idempotency(claim(Uuid::now_v7(), 1)).await;
    assert!(matches!(gone.unwrap(), Claimed::Ours(_)));
    let here = store.register_instance("0", "here").await.unwrap();
    let taken = store.claim_idempotency(claim(here.id(), 1)).await.unwrap();
    assert!(matches!(taken, Claimed::Ours(_)));
    let running = store.claim_idempotency(claim(here.id(), 1)).await.unwrap();
    assert!(matches!(running, Claimed::Running));
}

#[tokio::test]
async fn of_many_claims_at_once_one_is_ours() {
    let store = migrated().await;
    let here = store.register_instance("0", "here").await.unwrap();
    let claims = (0..12).map(|_| store.claim_idempotency(claim(here.id(), 1)));
    let outcomes = futures::future::join_all(claims).await;
    let ours = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Claimed::Ours(_))));
    assert_eq!(ours.count(), 1, "{outcomes:?}");
}
