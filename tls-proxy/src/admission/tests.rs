//! The clock stands still except where a test waits, so that no machine is too slow for them.

mod order;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use tokio::task::yield_now;
use tokio::time::{advance, sleep, timeout};

use super::capacity::OVERDRAFT;
use super::*;

const MOMENT: Duration = Duration::from_millis(50);

fn admission_of(connections: usize, memory: Option<u64>) -> Rc<Admission> {
    Admission::new(Capacity {
        connections,
        descriptors: 10_000,
        memory,
    })
}

async fn waits<T>(wanted: impl Future<Output = T>) -> bool {
    timeout(MOMENT, wanted).await.is_err()
}

/// What a demand is granted that waits no longer.
async fn granted<T>(wanted: impl Future<Output = T>) -> T {
    timeout(MOMENT, wanted).await.expect("it is granted")
}

/// The permit of a connection, which comes later than the one before.
async fn place(admission: &Rc<Admission>) -> Permit {
    advance(Duration::from_micros(1)).await;
    match admission.try_for_connection() {
        Some(permit) => permit,
        None => admission.for_new_client().await,
    }
}

/// A connection that has been accepted.
async fn connected(admission: &Rc<Admission>) -> Admitted {
    place(admission).await.accepted()
}

/// A connection after its handshake, waiting for a request.
async fn idle(admission: &Rc<Admission>) -> Admitted {
    let own = connected(admission).await;
    own.account.holder().wait(Waits::Idle, 0);
    own
}

/// As many connections as fit, all with requests whose bodies wait for an upstream.
async fn busy(admission: &Rc<Admission>) -> Vec<(Admitted, Permit)> {
    let mut all = Vec::new();
    loop {
        let own = timeout(MOMENT, connected(admission)).await;
        let Ok(own) = own else { return all };
        let request = timeout(MOMENT, admission.for_request(own.account.holder())).await;
        let Ok(request) = request else { return all };
        if timeout(MOMENT, request.grow(TRANSFER)).await.is_err() {
            return all;
        }
        all.push((own, request));
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_idle_connection_is_evicted() {
    let admission = admission_of(2, None);
    let first = idle(&admission).await;
    sleep(MOMENT).await;
    let second = idle(&admission).await;
    let third = pin!(connected(&admission));
    let mut third = third;
    assert!(waits(third.as_mut()).await);
    first.account.holder().evicted().await;
    assert!(waits(second.account.holder().evicted()).await);
    drop(first);
    let _third = granted(third).await;
    assert!(!admission.is_crowded());
}

#[tokio::test(start_paused = true)]
async fn one_that_gets_a_request_meanwhile_is_not_evicted() {
    let admission = admission_of(1, None);
    let first = idle(&admission).await;
    let mut second = pin!(connected(&admission));
    assert!(waits(second.as_mut()).await);
    let holder = first.account.holder();
    assert!(holder.eviction().is_some());
    holder.stop_waiting();
    assert!(holder.eviction().is_none());
    drop(first);
    granted(second).await;
}

#[tokio::test(start_paused = true)]
async fn memory_kept_for_one_use_is_not_granted_to_another() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut held = Vec::new();
    while let Ok(own) = timeout(MOMENT, idle(&admission)).await {
        own.account.holder().stop_waiting();
        held.push(own);
    }
    let holder = held[0].account.holder().clone();
    let request = admission.for_request(&holder).await;
    request.grow(TRANSFER).await;
    let more = timeout(MOMENT, connected(&admission)).await;
    assert!(more.is_err(), "the rest is for requests and bodies");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_waited_for_is_evicted_and_one_that_waits_for_an_upstream_is_not() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    let slow = &held[3].0.account;
    slow.holder().wait(Waits::Response, 0);
    slow.holder()
        .since
        .set(time::now() - Duration::from_secs(2));
    assert!(waits(held[0].1.grow(HEADER_BLOCK)).await);
    let evicted = |own: &(Admitted, Permit)| own.0.account.holder().eviction().is_some();
    let all: Vec<_> = held.iter().map(evicted).collect();
    assert!(all[3]);
    assert_eq!(all.iter().filter(|own| **own).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn streams_are_evicted_before_their_connection_and_count_for_it() {
    let admission = admission_of(1000, Some(4 << 20));
    let connection = idle(&admission).await;
    let client = connection.account.holder();
    client.stop_waiting();
    let mut streams = Vec::new();
    loop {
        let account = admission.stream(client);
        let Some(permit) = admission.try_for_stream(account.holder()) else {
            break;
        };
        if !permit.try_grow(TRANSFER) {
            break;
        }
        account.holder().wait(Waits::Body, 0);
        account
            .holder()
            .since
            .set(time::now() - Duration::from_secs(1));
        streams.push((account, permit));
    }
    assert!(client.client.held.get() > admission.capacity.get().share());
    let other = connected(&admission).await;
    let mut body = pin!(async {
        let request = admission.for_request(other.account.holder()).await;
        request.grow(4 * TRANSFER).await;
    });
    while waits(body.as_mut()).await {
        let before = streams.len();
        streams.retain(|(account, _)| account.holder().eviction().is_none());
        assert!(streams.len() < before, "a stream is evicted");
    }
    assert!(client.eviction().is_none());
    assert!(client.client().shed() > 0);
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_no_progress() {
    let admission = admission_of(1000, None);
    let own = connected(&admission).await;
    let holder = own.account.holder();
    holder.wait(Waits::Body, 0);
    let since = holder.since.get();
    for moved in 1..100 {
        holder.stop_waiting();
        advance(Duration::from_micros(10)).await;
        holder.wait(Waits::Body, moved);
        assert_eq!(holder.since.get(), since);
    }
    holder.wait(Waits::Body, 5000);
    assert!(holder.since.get() > since);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nobody_waits_for_memory() {
    let admission = admission_of(1, None);
    let own = connected(&admission).await;
    let mut second = pin!(connected(&admission));
    assert!(waits(second.as_mut()).await);
    // No permit for another connection, but for requests of this one.
    let request = admission.for_request(own.account.holder()).await;
    request.grow(1 << 40).await;
    drop((request, own));
    granted(second).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_limit_takes_effect_at_once() {
    let admission = admission_of(1000, Some(8 << 20));
    let looking = admission.clone();
    let mut held = Vec::new();
    while let Ok(own) = timeout(MOMENT, idle(&admission)).await {
        held.push(own);
    }
    let many = held.len();
    let half = Capacity {
        memory: Some(4 << 20),
        ..admission.capacity.get()
    };
    let mut looking = pin!(looking.run(|| ()));
    admission.resize(half);
    while admission.memory.get() < 0 {
        let _ = timeout(MOMENT, looking.as_mut()).await;
        held.retain(|own| own.account.holder().eviction().is_none());
    }
    assert!(
        held.len() < many && held.len() > many / 3,
        "{} of {many}",
        held.len()
    );
    admission.resize(Capacity {
        memory: Some(8 << 20),
        ..half
    });
    for _ in 0..many / 4 {
        held.push(timeout(MOMENT, idle(&admission)).await.expect("it fits"));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_more_memory_gives_up_what_new_clients_wait_for() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    let _others = fill(&admission).await;
    let mut body = pin!(held[0].1.grow(TRANSFER));
    let mut new_client = pin!(connected(&admission));
    assert!(waits(body.as_mut()).await && waits(new_client.as_mut()).await);
    pass(&admission, Duration::from_millis(600));
    admission.relieve();
    assert_eq!(evicted_ones(&held), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_is_not_evicted_for_a_holder_of_more_at_once() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    let others = fill(&admission).await;
    let handshake = others[0].account.holder();
    handshake.wait(Waits::Handshake, 0);
    let mut body = pin!(held[0].1.grow(TRANSFER));
    assert!(waits(body.as_mut()).await);
    pass(&admission, Duration::from_millis(400));
    admission.relieve();
    assert!(handshake.eviction().is_none());
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    assert!(handshake.eviction().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_polled_waits_for_memory_too() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    let (first, second) = (&held[0].1, &held[1].1);
    while first.try_grow(1 << 10) {}
    let poll = |need: &mut Need| {
        let mut cx = Context::from_waker(Waker::noop());
        first.poll_grow(need, &mut cx)
    };
    let mut need = Need::default();
    assert!(poll(&mut need).is_ready(), "it needs nothing");
    need.add(TRANSFER);
    assert!(poll(&mut need).is_pending() && poll(&mut need).is_pending());
    let before = first.memory(MemoryUse::Transfer);
    second.shrink(MemoryUse::Transfer, TRANSFER);
    assert!(poll(&mut need).is_ready() && need.is_zero());
    assert_eq!(first.memory(MemoryUse::Transfer), before + TRANSFER);
    // One that is dropped while it waits does not keep what it is granted.
    need.add(TRANSFER);
    assert!(poll(&mut need).is_pending());
    let left = admission.memory.get();
    first.shrink(MemoryUse::Transfer, TRANSFER);
    drop(need);
    assert_eq!(admission.memory.get(), left + to_signed(TRANSFER));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_demand_releases_what_it_was_granted() {
    let admission = admission_of(1, None);
    let own = connected(&admission).await;
    {
        let mut second = pin!(connected(&admission));
        assert!(waits(second.as_mut()).await);
        drop(own);
        // Granted but never used.
    }
    yield_now().await;
    let _third = connected(&admission).await;
    assert!(!admission.is_crowded());
}

/// As many connections as fit.
async fn fill(admission: &Rc<Admission>) -> Vec<Admitted> {
    let mut all = Vec::new();
    while let Ok(own) = timeout(MOMENT, connected(admission)).await {
        all.push(own);
    }
    all
}

/// Makes all holders so much older.
fn pass(admission: &Admission, time: Duration) {
    for holder in admission.holders.borrow().iter() {
        holder.since.set(holder.since.get() - time);
    }
    let since = admission.crowded_since.get();
    admission.crowded_since.set(since.map(|since| since - time));
}

fn evicted_ones(held: &[(Admitted, Permit)]) -> Vec<usize> {
    let evicted = |own: &(Admitted, Permit)| own.0.account.holder().eviction().is_some();
    let all = held.iter().enumerate();
    all.filter(|(_, own)| evicted(own))
        .map(|(at, _)| at)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn overtaken_requests_are_evicted() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut held = busy(&admission).await;
    let mut others = fill(&admission).await;
    pass(&admission, Duration::from_secs(2));
    // The first request is old, a later one completes, and the rest started after that.
    if let Some(last) = held.pop() {
        let mut new_client = pin!(connected(&admission));
        assert!(waits(new_client.as_mut()).await);
        last.0.account.holder().start_request();
        last.1.completed();
        drop(last);
        others.push(granted(new_client).await);
    }
    for own in held[1..].iter().map(|own| &own.0).chain(&others) {
        own.account.holder().start_request();
    }
    others.append(&mut fill(&admission).await);
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    assert_eq!(evicted_ones(&held), [0]);
}

#[tokio::test(start_paused = true)]
async fn one_request_is_evicted_when_none_completes() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    let _others = fill(&admission).await;
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    pass(&admission, Duration::from_millis(700));
    admission.relieve();
    assert_eq!(
        evicted_ones(&held),
        [0; 0],
        "an upstream may need some time"
    );
    pass(&admission, Duration::from_secs(1));
    admission.relieve();
    assert_eq!(evicted_ones(&held).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_are_evicted_when_too_few_complete_for_those_who_wait() {
    for (clients, evicted) in [(2, 0), (100, 1)] {
        let admission = admission_of(1000, Some(4 << 20));
        let mut held = busy(&admission).await;
        let mut others = fill(&admission).await;
        let mut new_client = pin!(connected(&admission));
        assert!(waits(new_client.as_mut()).await);
        // The oldest completes.
        pass(&admission, Duration::from_millis(900));
        let first = held.remove(0);
        first.1.completed();
        assert!(admission.pause.get() > Duration::ZERO);
        drop(first);
        others.push(granted(new_client).await);
        others.append(&mut fill(&admission).await);
        let mut next = pin!(connected(&admission));
        assert!(waits(next.as_mut()).await);
        admission.pending.set(clients);
        admission.overtaken_before.set(None);
        pass(&admission, Duration::from_millis(500));
        admission.relieve();
        assert_eq!(
            evicted_ones(&held).len(),
            evicted,
            "beside {clients} clients"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_completed_request_overtakes_others() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut held = busy(&admission).await;
    let others = fill(&admission).await;
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    drop(held.pop());
    assert!(admission.overtaken_before.get().is_none());
    let _others = (granted(new_client).await, fill(&admission).await, others);
    let mut later = pin!(connected(&admission));
    assert!(waits(later.as_mut()).await);
    held[0].1.completed();
    assert!(admission.overtaken_before.get().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_permit_without_a_client_is_not_evicted() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut permits = Vec::new();
    while let Ok(permit) = timeout(MOMENT, place(&admission)).await {
        permits.push(permit);
    }
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    pass(&admission, Duration::from_secs(2));
    admission.relieve();
    for own in permits.into_iter().map(Permit::accepted) {
        assert!(own.account.holder().eviction().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_needs_a_descriptor_and_no_memory() {
    let admission = admission_of(1000, Some(4 << 20));
    let _held = fill(&admission).await;
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    assert!(admission.try_for_file().is_some());
}

#[tokio::test(start_paused = true)]
async fn of_a_socket_that_is_closed_few_connections_more_than_fit_are_accepted() {
    const MEMORY: u64 = 4 << 20;
    let last = |admission: &Rc<Admission>| -> Vec<_> {
        std::iter::from_fn(|| admission.beyond_limits()).collect()
    };
    let admission = admission_of(1000, Some(MEMORY));
    let _held = fill(&admission).await;
    // Less than a new client needs.
    let _rest: Vec<_> = std::iter::from_fn(|| admission.try_for_connection()).collect();
    // One may have had nearly enough.
    let most = (MEMORY / OVERDRAFT / CONNECTION) as usize + 1;
    let all = last(&admission);
    assert!((1..=most).contains(&all.len()), "{}", all.len());
    assert!(waits(place(&admission)).await);
    drop(all);
    assert!(!last(&admission).is_empty(), "what they had is given back");
}

#[tokio::test(start_paused = true)]
async fn the_last_connections_of_a_socket_take_no_places_of_others() {
    let admission = admission_of(8, None);
    let mut held = fill(&admission).await;
    let last: Vec<_> = (0..100).map(|_| admission.beyond_limits()).collect();
    assert!(last.iter().all(Option::is_some));
    held.pop();
    assert!(!waits(place(&admission)).await);
}

#[tokio::test(start_paused = true)]
async fn no_release_is_expected_for_long() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut held = Vec::new();
    while let Ok(own) = timeout(MOMENT, idle(&admission)).await {
        held.push(own);
    }
    let count = || {
        let evicted = held
            .iter()
            .filter(|own| own.account.holder().eviction().is_some());
        evicted.count()
    };
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    sleep(3 * MOMENT).await;
    admission.relieve();
    let first = count();
    admission.relieve();
    assert_eq!(count(), first);
    sleep(3 * MOMENT).await;
    admission.relieve();
    assert!(count() > first);
}

/// Requests that hold their bodies and wait for more, and nobody else: each holds what the
/// others wait for.
#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_each_other_s_memory_do_not_wait_for_ever() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    assert!(held.len() > 10);
    let mut needs: Vec<_> = held.iter().map(|_| Need::default()).collect();
    needs.iter_mut().for_each(|need| need.add(DECOMPRESSOR));
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = |at: usize| held[at].1.poll_grow(&mut needs[at], &mut cx).is_ready();
    let mut served = 0;
    for at in 0..held.len() {
        served += usize::from(poll(at));
    }
    assert_eq!(served, 0, "{} requests", held.len());
    pass(&admission, Duration::from_secs(4));
    admission.relieve();
    assert_eq!(
        evicted_ones(&held),
        [0; 0],
        "an upstream may need some time"
    );
    pass(&admission, Duration::from_secs(2));
    // Small requests are served meanwhile.
    admission.ended.set(Some(time::now()));
    admission.relieve();
    let evicted = evicted_ones(&held);
    assert!((1..3).contains(&evicted.len()), "{evicted:?}");
}

/// They hold what others wait for, though not for ever in vain: bodies may go on.
#[tokio::test(start_paused = true)]
async fn who_waits_for_memory_that_others_get_again_is_not_evicted() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    let (mut first, mut second) = (
        pin!(held[0].1.grow(TRANSFER)),
        pin!(held[1].1.grow(TRANSFER)),
    );
    assert!(waits(first.as_mut()).await && waits(second.as_mut()).await);
    pass(&admission, Duration::from_secs(6));
    held[2].1.shrink(MemoryUse::Transfer, TRANSFER);
    admission.relieve();
    assert_eq!(evicted_ones(&held), [0; 0]);
}

/// Uploads to an upstream that does not read, while small requests are served.
#[tokio::test(start_paused = true)]
async fn requests_that_do_not_move_give_way_to_bodies_after_some_time() {
    let admission = admission_of(1000, Some(4 << 20));
    let own = idle(&admission).await;
    own.account.holder().stop_waiting();
    let request = admission.for_request(own.account.holder()).await;
    let held = busy(&admission).await;
    let mut body = pin!(request.grow(TRANSFER));
    assert!(waits(body.as_mut()).await);
    for (seconds, evicted) in [(4, 0), (2, 1)] {
        pass(&admission, Duration::from_secs(seconds));
        admission.overtaken_before.set(Some(time::now()));
        admission.relieve();
        assert_eq!(evicted_ones(&held).len(), evicted);
    }
    assert!(own.account.holder().eviction().is_none());
}

/// Tunnels that wait for memory, beside those that hold it for a side that does not read.
#[tokio::test(start_paused = true)]
async fn tunnels_that_do_not_move_give_up_before_those_that_wait() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut held = Vec::new();
    for _ in 0..45 {
        let own = connected(&admission).await;
        let request = admission.for_request(own.account.holder()).await;
        own.account.holder().wait(Waits::Tunnel, 0);
        held.push((own, request));
    }
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiting = Vec::new();
    for (at, (own, request)) in held.iter().enumerate() {
        let mut need = Need::default();
        need.add(TRANSFER);
        if request.poll_grow(&mut need, &mut cx).is_pending() {
            own.account.holder().wait_for_memory();
            waiting.push((at, need));
        }
    }
    let moving = waiting[0].0;
    assert!(moving > 10, "{moving}");
    let _others = fill(&admission).await;
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    pass(&admission, Duration::from_millis(700));
    admission.relieve();
    assert_eq!(evicted_ones(&held), [0; 0]);
    pass(&admission, Duration::from_millis(300));
    admission.relieve();
    let evicted = evicted_ones(&held);
    assert!(
        !evicted.is_empty() && evicted.iter().all(|at| *at < moving),
        "{evicted:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_become_as_large_as_it_wants_evicts_nobody_else() {
    let admission = admission_of(1000, Some(4 << 20));
    let own = connected(&admission).await;
    let request = admission.for_request(own.account.holder()).await;
    assert!(request.try_grow(2 << 20));
    let other = idle(&admission).await;
    let mut more = pin!(request.grow(2 << 20));
    assert!(waits(more.as_mut()).await);
    let eviction = own.account.holder().eviction().expect("it gives up");
    assert!(other.account.holder().eviction().is_none(), "in vain");
    // Also once it does not wait any more.
    own.account.holder().stop_waiting_for_permit();
    let text = eviction.to_string();
    assert!(text.ends_with("KiB while waiting for memory"), "{text}");
}

/// A demand that cannot be met whoever is evicted.
#[tokio::test(start_paused = true)]
async fn a_demand_for_more_than_all_memory_does_not_wait_for_ever() {
    let admission = admission_of(1000, Some(4 << 20));
    let own = connected(&admission).await;
    let request = admission.for_request(own.account.holder()).await;
    let other = idle(&admission).await;
    let mut need = Need::default();
    need.add(5 << 20);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(request.poll_grow(&mut need, &mut cx).is_pending());
    assert!(!admission.is_crowded());
    pass(&admission, Duration::from_secs(1));
    admission.relieve();
    assert!(own.account.holder().eviction().is_some());
    assert!(other.account.holder().eviction().is_none(), "in vain");
}
