//! Who is served first.

use super::*;
use crate::admission::pending::{FRESH, MAX_PEEKED, Pending};
use crate::admission::queue::ACCEPTED_EVERY;

/// Its client has sent something.
fn sent<T>(_: &T) -> bool {
    true
}

#[tokio::test(start_paused = true)]
async fn a_new_client_is_served_before_holders_of_more() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    while held[0].1.try_grow(1 << 10) {}
    // What is kept for connections is taken, too.
    let mut new_clients = Vec::new();
    while let Ok(own) = timeout(MOMENT, connected(&admission)).await {
        new_clients.push(own);
    }
    let first = held[0].1.grow(4 * TRANSFER);
    let new_client = connected(&admission);
    let (mut first, mut new_client) = (pin!(first), pin!(new_client));
    assert!(waits(first.as_mut()).await && waits(new_client.as_mut()).await);
    let last = held.len() - 1;
    held[last].1.shrink(MemoryUse::Transfer, TRANSFER);
    let _new_client = granted(new_client).await;
    assert!(waits(first.as_mut()).await);
}

#[tokio::test(start_paused = true)]
async fn new_clients_are_served_in_order_of_arrival() {
    let admission = admission_of(1000, Some(4 << 20));
    let own = idle(&admission).await;
    own.account.holder().stop_waiting();
    let held = busy(&admission).await;
    let _others = fill(&admission).await;
    let mut request = pin!(admission.for_request(own.account.holder()));
    let mut later = pin!(connected(&admission));
    assert!(waits(request.as_mut()).await && waits(later.as_mut()).await);
    held[0].1.shrink(MemoryUse::Transfer, REQUEST);
    let _request = granted(request).await;
    assert!(waits(later.as_mut()).await);
    assert!(admission.body_granted.get().is_none(), "it is no body");
}

#[tokio::test(start_paused = true)]
async fn the_newest_client_is_served_first_once_others_have_waited_for_long() {
    let admission = admission_of(1000, Some(4 << 20));
    let (first, second) = (idle(&admission).await, idle(&admission).await);
    first.account.holder().stop_waiting();
    second.account.holder().stop_waiting();
    let held = busy(&admission).await;
    let _others = fill(&admission).await;
    let mut older = pin!(admission.for_request(first.account.holder()));
    let mut newer = pin!(admission.for_request(second.account.holder()));
    assert!(waits(older.as_mut()).await && waits(newer.as_mut()).await);
    pass(&admission, Duration::from_millis(600));
    held[0].1.shrink(MemoryUse::Transfer, REQUEST);
    let _request = granted(newer).await;
    assert!(waits(older.as_mut()).await);
}

#[tokio::test(start_paused = true)]
async fn listeners_take_turns_while_others_have_waited_for_long() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    let mut others = fill(&admission).await;
    let (mut one, mut other) = (pin!(place(&admission)), pin!(place(&admission)));
    assert!(waits(one.as_mut()).await && waits(other.as_mut()).await);
    pass(&admission, Duration::from_millis(600));
    held[0].1.shrink(MemoryUse::Transfer, NEW_CLIENT);
    others.push(granted(one).await.accepted());
    // It asks for the next connection, later than the other listener.
    let mut again = pin!(place(&admission));
    assert!(waits(again.as_mut()).await);
    held[1].1.shrink(MemoryUse::Transfer, NEW_CLIENT);
    let other = timeout(MOMENT, other).await;
    assert!(other.is_ok(), "its turn");
    assert!(waits(again.as_mut()).await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_had_to_wait_for_its_place_does_not_wait_again_before_its_response() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    let _others = fill(&admission).await;
    let mut new_client = pin!(connected(&admission));
    let mut later = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await && waits(later.as_mut()).await);
    held[0].1.shrink(MemoryUse::Transfer, TRANSFER);
    let own = granted(new_client).await;
    let holder = own.account.holder();
    assert_eq!(holder.client.held.get(), NEW_CLIENT);
    own.permit.grow(HANDSHAKE).await;
    own.permit.grow(HTTP2 - HANDSHAKE).await;
    let request = admission.for_request(holder).await;
    assert_eq!(holder.client.held.get(), NEW_CLIENT);
    assert!(!own.permit.try_grow(1), "others wait");
    drop((request, own));
    granted(later).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_client_sends_nothing_holds_nothing_for_a_response() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    let _others = fill(&admission).await;
    let mut new_client = pin!(place(&admission));
    assert!(waits(new_client.as_mut()).await);
    held[0].1.shrink(MemoryUse::Transfer, TRANSFER);
    let permit = granted(new_client).await;
    let left = admission.memory.get();
    permit.give_up_advance();
    assert_eq!(admission.memory.get() - left, to_signed(FIRST_RESPONSE));
    let own = permit.accepted();
    assert_eq!(own.account.holder().client.held.get(), CONNECTION);
}

/// Clients that have sent nothing yet, each with what it needs until its first response: as many
/// as fit.
async fn silent(admission: &Rc<Admission>) -> Vec<Admitted> {
    let mut all = Vec::new();
    while let Some(permit) = admission.try_for_connection().filter(Permit::take_advance) {
        let own = permit.accepted();
        own.account.holder().wait(Waits::FirstBytes, 0);
        all.push(own);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn new_clients_that_come_together_do_not_wait_for_each_other_s_memory() {
    let admission = admission_of(1000, Some(4 << 20));
    let all = silent(&admission).await;
    for own in &all {
        let holder = own.account.holder();
        own.permit.grow(HANDSHAKE).await;
        own.permit.grow(HTTP2 - HANDSHAKE).await;
        assert!(admission.try_for_request(holder).is_some());
    }
    assert!(all.len() > 10);
}

#[tokio::test(start_paused = true)]
async fn clients_that_send_nothing_keep_their_connections_but_nothing_for_a_response() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = silent(&admission).await;
    let mut new_client = pin!(admission.for_new_client());
    assert!(waits(new_client.as_mut()).await);
    pass(&admission, FIRST_BYTES);
    admission.relieve();
    let _new_client = granted(new_client).await;
    for own in &held {
        let holder = own.account.holder();
        assert!(holder.eviction().is_none());
        assert_eq!(holder.client.held.get(), CONNECTION);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_first_request_does_not_need_is_released() {
    let admission = admission_of(1000, Some(4 << 20));
    let held = busy(&admission).await;
    let _others = fill(&admission).await;
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    held[0].1.shrink(MemoryUse::Transfer, TRANSFER);
    let own = granted(new_client).await;
    let left = admission.memory.get();
    let _request = admission.for_request(own.account.holder()).await;
    assert_eq!(admission.memory.get() - left, to_signed(HTTP2));
    assert_eq!(own.account.holder().client.held.get(), CONNECTION + REQUEST);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_place_is_bounded_and_the_newest_has_its_turn_only_after_long() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut pending = Pending::new(admission.clone());
    let mut most = 0;
    while pending.has_room(sent) {
        pending.push(most, sent);
        most += 1;
    }
    assert!((500..=511).contains(&most), "{most}");
    assert_eq!(pending.next(|_| true), Some((0, true)));
    assert!(pending.has_room(sent));
    let _others = fill(&admission).await;
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    assert_eq!(pending.next(|_| true), Some((1, true)));
    pass(&admission, Duration::from_secs(1));
    assert_eq!(pending.next(|_| true), Some((most - 1, true)));
    // By turns with the one that has waited longest and is not late yet.
    assert_eq!(pending.next(|own| *own > 5), Some((6, true)));
    assert_eq!(pending.next(|own| *own < most - 5), Some((most - 6, true)));
    pending.pass(FIRST_BYTES);
    assert_eq!(pending.next(|_| false), Some((2, false)));
    assert_eq!(pending.next(|_| false), Some((most - 2, false)));
    drop(pending);
    assert_eq!(admission.pending().0, 0);
    assert!(!Pending::<u32>::new(admission_of(1000, None)).has_room(sent));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_had_no_time_to_send_something_is_not_served_yet() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut pending = Pending::new(admission.clone());
    pending.push((), sent);
    assert_eq!(pending.next(|()| false), None);
    assert_eq!(pending.next(|()| true), Some(((), true)));
    pending.push((), sent);
    pending.pass(FIRST_BYTES);
    assert_eq!(pending.next(|()| false), Some(((), false)));
}

#[tokio::test(start_paused = true)]
async fn one_whose_client_sends_nothing_makes_room_for_another_and_asks_for_no_memory() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut pending = Pending::new(admission.clone());
    let mut full = 0;
    while pending.has_room(|_| false) {
        pending.push(full, sent);
        full += 1;
    }
    pending.pass(SILENCE);
    let silent = |own: &u32| *own != 0;
    assert!(!pending.has_room(sent) && pending.has_room(|own| !silent(own)));
    assert!(!pending.is_ready(|_| false) && pending.is_ready(sent));
    // The first one is kept, which has sent something.
    pending.push(full, |own| !silent(own));
    assert_eq!(admission.pending().0, full as usize);
    assert_eq!(pending.next(sent), Some((0, true)));
    assert_eq!(pending.next(sent), Some((2, true)));
    // There was not enough memory for it.
    pending.put_back(2);
    assert!(pending.is_ready(|_| false));
    assert_eq!(pending.next(|_| false), Some((2, true)));
    assert_eq!(admission.pending().0, full as usize - 2);
}

/// A listener whose places are all taken by connections that have waited for too long, while
/// demands have waited for long.
async fn full_of_stale(admission: &Rc<Admission>) -> (Pending<u32>, Vec<Admitted>) {
    let mut pending = Pending::new(admission.clone());
    while pending.has_room(sent) {
        pending.push(0, sent);
    }
    pending.pass(Duration::from_secs(3));
    let others = fill(admission).await;
    (pending, others)
}

#[tokio::test(start_paused = true)]
async fn stale_connections_give_their_places_to_newer_ones_one_after_the_other() {
    let admission = admission_of(1000, Some(4 << 20));
    let (mut pending, _others) = full_of_stale(&admission).await;
    let full = admission.pending().0;
    assert!(pending.has_room(sent));
    pending.push(1, sent);
    assert_eq!(admission.pending().0, full, "it took a place");
    // Not before it has been served, or has waited too long itself.
    assert!(!pending.has_room(sent));
    pending.pass(FRESH);
    assert!(pending.has_room(sent));
}

#[tokio::test(start_paused = true)]
async fn one_that_has_just_been_accepted_is_served_though_newer_ones_keep_coming() {
    let admission = admission_of(1000, Some(4 << 20));
    let (mut pending, _others) = full_of_stale(&admission).await;
    let mut newcomer = pin!(connected(&admission));
    assert!(waits(newcomer.as_mut()).await);
    pass(&admission, Duration::from_secs(1));
    for number in 1..=3 {
        pending.push(number, sent);
    }
    let mut served = Vec::new();
    for number in 4..10 {
        served.extend(pending.next(|_| true).map(|(number, _)| number));
        pending.push(number, sent);
    }
    for number in 1..=3 {
        assert!(served.contains(&number), "{number} of {served:?}");
    }
    // Those that have waited for too long are not served before newer ones.
    assert!(!served.contains(&0), "{served:?}");
}

#[tokio::test(start_paused = true)]
async fn a_listener_may_always_accept_one_connection() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut pending = Pending::new(admission.clone());
    while pending.has_room(sent) {
        pending.push((), sent);
    }
    let full = admission.pending().0;
    let mut other = Pending::new(admission.clone());
    assert!(
        other.has_room(sent),
        "it asks for memory only if it has a client"
    );
    other.push((), sent);
    assert!(!other.has_room(sent));
    assert_eq!(admission.pending().0, full + 1, "none is closed for it");
}

#[tokio::test(start_paused = true)]
async fn one_that_memory_is_asked_for_is_the_next_one_behind_however_many_that_say_nothing() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut pending = Pending::new(admission.clone());
    for at in 0..100 {
        pending.push(at, sent);
    }
    let speaks = |wanted| move |own: &u32| *own == wanted;
    assert!(pending.is_ready(speaks(70)));
    assert_eq!(pending.next(speaks(70)), Some((70, true)));
    assert!(!pending.is_ready(speaks(70)));
    // The newest first, and by turns.
    let _others = fill(&admission).await;
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    pass(&admission, Duration::from_secs(1));
    for wanted in [50, 51] {
        assert!(pending.is_ready(speaks(wanted)));
        assert_eq!(pending.next(speaks(wanted)), Some((wanted, true)));
    }
    assert_eq!(admission.pending().0, 97);
}

#[tokio::test(start_paused = true)]
async fn few_connections_are_examined_for_the_next_one() {
    let admission = admission_of(1000, Some(4 << 20));
    let mut pending = Pending::new(admission.clone());
    for at in 0..100 {
        pending.push(at, sent);
    }
    // Now they have had time to send something.
    pending.pass(FIRST_BYTES);
    let examined = Cell::new(0);
    let is_silent = |_: &i32| {
        examined.set(examined.get() + 1);
        false
    };
    assert_eq!(pending.next(is_silent), Some((0, false)));
    assert_eq!(examined.take(), MAX_PEEKED);
    let _others = fill(&admission).await;
    let mut new_client = pin!(connected(&admission));
    assert!(waits(new_client.as_mut()).await);
    pass(&admission, Duration::from_secs(1));
    assert_eq!(pending.next(is_silent), Some((99, false)));
    assert_eq!(examined.take(), MAX_PEEKED);
    assert_eq!(pending.next(is_silent), Some((1, false)));
    assert_eq!(examined.take(), MAX_PEEKED);
}

#[tokio::test(start_paused = true)]
async fn new_connections_leave_a_part_to_accepted_clients() {
    let admission = admission_of(1000, Some(4 << 20));
    let own = idle(&admission).await;
    own.account.holder().stop_waiting();
    let held = busy(&admission).await;
    let mut others = fill(&admission).await;
    let mut request = pin!(admission.for_request(own.account.holder()));
    assert!(waits(request.as_mut()).await);
    pass(&admission, Duration::from_secs(1));
    for (_, permit) in &held[..ACCEPTED_EVERY as usize] {
        let mut new_client = pin!(place(&admission));
        assert!(waits(new_client.as_mut()).await);
        permit.shrink(MemoryUse::Transfer, NEW_CLIENT);
        if !waits(request.as_mut()).await {
            return;
        }
        others.push(granted(new_client).await.accepted());
    }
    panic!("only new connections were served");
}
