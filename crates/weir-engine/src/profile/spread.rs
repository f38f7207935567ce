//! Work on many columns, spread over the processors.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use weir_core::{Error, Result};

use crate::steps::Env;

/// What workers share.
struct Shared<T, R> {
    left: Mutex<VecDeque<(usize, T)>>,
    done: Mutex<Vec<(usize, T, R)>>,
}

/// Does `work` with every item, the costly ones first, and gives the items back
/// in their order with what came of each.
pub(super) async fn spread<T, R>(
    items: Vec<T>,
    env: &Env,
    cost: impl Fn(&T) -> u64,
    work: impl Fn(&mut T) -> Result<R> + Clone + Send + 'static,
) -> Result<(Vec<T>, Vec<R>)>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let count = items.len();
    let mut left: Vec<(usize, T)> = items.into_iter().enumerate().collect();
    left.sort_by_key(|(_, item)| std::cmp::Reverse(cost(item)));
    let shared = Arc::new(Shared {
        left: Mutex::new(left.into()),
        done: Mutex::new(Vec::with_capacity(count)),
    });
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let workers = (0..processors.min(count)).map(|_| {
        let (shared, work, env) = (Arc::clone(&shared), work.clone(), env.clone());
        env.clone().compute().blocking(move || {
            loop {
                // Its own statement: the lock must not be held while working.
                let next = shared.left.lock().pop_front();
                let Some((at, mut item)) = next else {
                    return Ok::<_, Error>(());
                };
                env.check()?;
                let result = work(&mut item)?;
                shared.done.lock().push((at, item, result));
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    for worker in workers {
        worker.await??;
    }
    let mut done = std::mem::take(&mut *shared.done.lock());
    done.sort_by_key(|(at, ..)| *at);
    Ok(done
        .into_iter()
        .map(|(_, item, result)| (item, result))
        .unzip())
}
