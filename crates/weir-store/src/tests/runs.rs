use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use super::migrated;
use crate::{NewRun, RunEnd, RunFilter, RunSight, RunStatus, Scopes, Store};

fn run(instance: Uuid, key: Uuid, started_at: DateTime<Utc>) -> NewRun {
    NewRun {
        id: Uuid::now_v7(),
        started_at,
        kind: "load",
        instance_id: instance,
        key_id: Some(key),
        source_id: Some(Uuid::now_v7()),
        source_name: Some("shop".to_owned()),
        trace_id: None,
        stream: Some("public.orders".to_owned()),
        columns: None,
        query_hash: None,
        query: None,
    }
}

fn end(status: RunStatus) -> RunEnd {
    RunEnd {
        status,
        finished_at: Utc::now(),
        rows: 7,
        bytes: 70,
        error: None,
        report: None,
    }
}

async fn status(store: &Store, id: Uuid) -> String {
    let found = store.find_run(id, &RunSight::default()).await.unwrap();
    found.unwrap().status
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest() {
    let store = migrated().await;
    let (instance, mine, other) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let base = Utc::now() - Duration::hours(1);
    let mut ids = Vec::new();
    for number in 0..7 {
        // Two of each second, so that the id decides between them.
        let at = base + Duration::seconds(number / 2);
        let new = run(instance, if number == 3 { other } else { mine }, at);
        store.start_run(&new).await.unwrap();
        ids.push(new.id);
    }
    let sight = RunSight {
        key_id: Some(mine),
        scopes: Scopes::all(),
    };
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let filter = RunFilter {
            sight: sight.clone(),
            before,
            limit: 2,
            ..RunFilter::default()
        };
        let page = store.list_runs(&filter).await.unwrap();
        seen.extend(page.items.iter().map(|run| run.id));
        before = page.items.last().map(|run| (run.started_at, run.id));
        if page.next.is_none() {
            break;
        }
    }
    let expected: Vec<Uuid> = [6, 5, 4, 2, 1, 0].map(|at| ids[at]).to_vec();
    assert_eq!(seen, expected);
    assert!(store.find_run(ids[3], &sight).await.unwrap().is_none());
}

#[tokio::test]
async fn an_id_is_taken_once_and_for_all() {
    let store = migrated().await;
    let new = run(Uuid::now_v7(), Uuid::now_v7(), Utc::now());
    let outcomes = futures::future::join_all([(); 4].map(|()| store.start_chosen_run(new.clone())));
    let taken: Vec<_> = outcomes.await.into_iter().filter_map(Result::err).collect();
    assert_eq!(taken.len(), 3);
    for error in taken {
        assert_eq!(error.stable_code(), "run_id_taken");
    }
    store
        .end_run(new.id, new.started_at, &end(RunStatus::Succeeded))
        .await
        .unwrap();
    assert!(store.is_run(new.id).await.unwrap());
    assert!(store.start_chosen_run(new).await.is_err());
}

#[tokio::test]
async fn runs_of_an_instance_that_is_gone_are_lost() {
    let store = migrated().await;
    let instance = store.register_instance("1", "here").await.unwrap();
    let (living, dead) = (
        run(instance.id(), Uuid::now_v7(), Utc::now()),
        run(Uuid::now_v7(), Uuid::now_v7(), Utc::now()),
    );
    let done = run(dead.instance_id, Uuid::now_v7(), Utc::now());
    for new in [&living, &dead, &done] {
        store.start_run(new).await.unwrap();
    }
    store
        .end_run(done.id, done.started_at, &end(RunStatus::Succeeded))
        .await
        .unwrap();
    assert_eq!(store.lose_runs().await.unwrap(), 1);
    assert_eq!(status(&store, living.id).await, "running");
    assert_eq!(status(&store, dead.id).await, "failed");
    assert_eq!(status(&store, done.id).await, "succeeded");
    // It was only taken for dead: how it ended is what counts.
    store
        .end_run(dead.id, dead.started_at, &end(RunStatus::Succeeded))
        .await
        .unwrap();
    assert_eq!(status(&store, dead.id).await, "succeeded");
}

#[tokio::test]
async fn a_wish_to_cancel_is_kept_for_who_missed_the_message() {
    let store = migrated().await;
    let new = run(Uuid::now_v7(), Uuid::now_v7(), Utc::now());
    store.start_run(&new).await.unwrap();
    let asked = async || {
        store
            .cancelled_runs(&[new.id, Uuid::now_v7()])
            .await
            .unwrap()
    };
    assert!(asked().await.is_empty());
    store.ask_to_cancel(new.id, new.started_at).await.unwrap();
    assert_eq!(asked().await, [new.id]);
}
