//! Names of requests, against a name server of the tests.

use std::cell::Cell;

use tokio::net::UdpSocket;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::sleep;

use super::*;
use crate::admission::Capacity;
use crate::config::resolver::NameServers;

const LONG: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(50);

/// A worker that asks a name server.
struct Asking {
    cache: Rc<ResolverCache>,
    resolver: Arc<Resolver>,
    admission: Rc<Admission>,
    /// Questions that the name server has received.
    asked: Rc<Cell<usize>>,
}

impl Asking {
    /// Asks a name server that has no answer for names that begin with `s`, and none for any
    /// before the answer number `silent`.
    async fn new(silent: usize) -> Self {
        Self::with(silent, 100, None).await
    }

    /// The same with other limits.
    async fn with(silent: usize, descriptors: usize, memory: Option<u64>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let resolver = Resolver {
            servers: NameServers::new(vec![socket.local_addr().expect("its address")]),
            valid: None,
            ipv4: true,
            ipv6: false,
        };
        let asked = Rc::new(Cell::new(0));
        spawn_local(serve(socket, silent, asked.clone()));
        Self {
            cache: Rc::default(),
            resolver: Arc::new(resolver),
            admission: Admission::new(Capacity {
                connections: 100,
                descriptors,
                memory,
            }),
            asked,
        }
    }

    async fn find(&self, name: &str, limit: Duration) -> Result<Arc<Upstream>, Error> {
        let (cache, resolver, admission) = (&self.cache, &self.resolver, &self.admission);
        cache.find(resolver, name, 80, limit, admission).await
    }

    /// A request that waits for a name.
    fn spawn(self: &Rc<Self>, name: &str) -> JoinHandle<Result<Arc<Upstream>, Error>> {
        let (own, name) = (self.clone(), name.to_owned());
        spawn_local(async move { own.find(&name, LONG).await })
    }
}

async fn serve(socket: UdpSocket, silent: usize, asked: Rc<Cell<usize>>) {
    let mut space = [0; 512];
    loop {
        let (length, peer) = socket.recv_from(&mut space).await.expect("a question");
        let mut message = space[..length].to_vec();
        asked.set(asked.get() + 1);
        if message[13] == b's' || asked.get() <= silent {
            continue;
        }
        message[2..4].copy_from_slice(&[0x81, 0x80]);
        message[7] = 1;
        // The name in the question, A, IN, a minute, four bytes.
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        socket.send_to(&message, peer).await.expect("sent");
    }
}

/// Waits for what comes soon unless the machine is busy, and gives up before a request does.
async fn until(met: impl Fn() -> bool) {
    let end = Instant::now() + LONG / 2;
    while !met() && Instant::now() < end {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn names_without_an_answer_keep_no_others_waiting() {
    let test = async {
        let asking = Rc::new(Asking::new(0).await);
        let silent: Vec<_> = (0..100)
            .map(|number| asking.spawn(&format!("s{number}.example")))
            .collect();
        while asking.asked.get() < silent.len() {
            sleep(MOMENT).await;
        }
        let found = asking.find("good.example", LONG).await;
        assert!(found.is_ok(), "{found:?}");
        assert_eq!(asking.cache.pending.borrow().len(), silent.len());
        for one in &silent {
            one.abort();
        }
        until(|| asking.cache.pending.borrow().is_empty()).await;
        assert!(asking.cache.pending.borrow().is_empty());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn requests_wait_for_the_same_lookup() {
    let test = async {
        let asking = Rc::new(Asking::new(0).await);
        let all: Vec<_> = (0..20).map(|_| asking.spawn("a.example")).collect();
        for one in all {
            one.await.expect("its end").expect("an address");
        }
        assert_eq!(asking.asked.get(), 1);
        assert!(asking.cache.pending.borrow().is_empty());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_request_that_leaves_passes_its_lookup_on() {
    let test = async {
        let asking = Rc::new(Asking::new(1).await);
        let first = asking.spawn("a.example");
        while asking.asked.get() == 0 {
            sleep(MOMENT).await;
        }
        let second = asking.spawn("a.example");
        let third = asking.spawn("A.example");
        sleep(MOMENT).await;
        assert_eq!(asking.asked.get(), 1);
        first.abort();
        for other in [second, third] {
            other.await.expect("its end").expect("an address");
        }
        assert_eq!(asking.asked.get(), 2);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn what_is_no_name_is_not_asked_for() {
    let test = async {
        let asking = Asking::new(0).await;
        let found = asking.find(&"a.".repeat(2000), LONG).await;
        assert_eq!(found.err(), Some(Error::NotFound));
        assert_eq!(asking.asked.get(), 0);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn without_a_descriptor_to_spare_one_question_follows_the_other() {
    let test = async {
        for (descriptors, asked) in [(1, 2), (0, 1)] {
            let mut asking = Asking::with(0, descriptors, None).await;
            Arc::get_mut(&mut asking.resolver).expect("its own").ipv6 = true;
            let silent = asking.find("s.example", MOMENT).await;
            assert_eq!(silent.err(), Some(Error::TimedOut));
            until(|| asking.asked.get() >= asked).await;
            assert_eq!(asking.asked.get(), asked);
            asking.find("a.example", LONG).await.expect("an address");
            assert_eq!(asking.asked.get(), asked + 2);
        }
    };
    LocalSet::new().run_until(test).await;
}

/// A resolver's time-out may be another one in each location.
#[tokio::test]
async fn a_request_does_not_wait_for_the_lookup_of_one_with_more_time() {
    let test = async {
        let asking = Rc::new(Asking::new(0).await);
        let patient = asking.spawn("s.example");
        until(|| asking.asked.get() == 1).await;
        let silent = asking.find("s.example", MOMENT).await;
        assert_eq!(silent.err(), Some(Error::TimedOut));
        until(|| asking.asked.get() == 2).await;
        assert_eq!(asking.asked.get(), 2);
        patient.abort();
    };
    LocalSet::new().run_until(test).await;
}

/// A name with as many addresses as are used.
fn large(name: &str, asking: &Asking) -> (CacheKey, CacheEntry) {
    let all = [IpAddr::from([127, 0, 0, 1]); MAX_ADDRESSES];
    let group = Upstream {
        found: Some(FoundAddresses {
            all: all.into(),
            port: 80,
        }),
        ..Upstream::of_address(name, Vec::new())
    };
    let key = CacheKey {
        resolver: 0,
        name: name.to_owned(),
        port: 80,
    };
    let now = Instant::now();
    let entry = CacheEntry {
        resolver: asking.resolver.clone(),
        group: Arc::new(group),
        limited: true,
        used: now,
        until: now + LONG,
    };
    (key, entry)
}

#[tokio::test]
async fn names_have_a_part_of_the_memory() {
    let test = async {
        let asking = Asking::with(0, 100, Some(1 << 20)).await;
        let (good, entry) = large("good.example", &asking);
        asking.cache.keep(good.clone(), entry, &asking.admission);
        for number in 0..100 {
            let (key, entry) = large(&format!("{number}.example"), &asking);
            asking.cache.keep(key, entry, &asking.admission);
            assert!(asking.cache.remembered(&good).is_some(), "it is used");
        }
        let known = asking.cache.known.borrow();
        assert!((20..30).contains(&known.entries.len()), "{known:?}");
        assert!((60 << 10..64 << 10).contains(&known.bytes), "{known:?}");
        let reserved = known
            .permit
            .as_ref()
            .map(|own| own.memory(MemoryUse::Transfer));
        assert_eq!(reserved, Some(known.bytes));
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn without_memory_a_name_replaces_others() {
    let test = async {
        let asking = Asking::with(0, 100, Some(1 << 20)).await;
        let keep = |name: &str| {
            let (key, entry) = large(name, &asking);
            asking.cache.keep(key, entry, &asking.admission);
            asking.cache.known.borrow().entries.len()
        };
        assert_eq!((keep("a.example"), keep("b.example")), (1, 2));
        let other = asking.admission.uncounted();
        while other.try_grow(64) {}
        // One that is renewed, and a new one.
        assert_eq!((keep("a.example"), keep("c.example")), (2, 2));
        let known = asking.cache.known.borrow();
        assert!(known.entries.keys().all(|key| key.name != "b.example"));
    };
    LocalSet::new().run_until(test).await;
}

/// A request that waits is counted for less than that.
#[tokio::test]
async fn a_lookup_is_small() {
    let test = async {
        let asking = Asking::new(0).await;
        let asking = lookup::Asking::of(&asking.resolver, LONG);
        let lookup = lookup::addresses("a.example", &asking);
        let size = size_of_val(&lookup);
        assert!(size + size_of_val(&asking) <= 4 << 10, "{size} bytes");
    };
    LocalSet::new().run_until(test).await;
}
