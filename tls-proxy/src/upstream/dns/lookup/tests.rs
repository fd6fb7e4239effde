//! Lookups against name servers of the tests.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

const LONG: Duration = Duration::from_secs(60);
/// Until the next server is asked.
const PATIENCE: Duration = Duration::from_millis(20);

const ADDRESS: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1];

fn answer(question: &[u8], flags: [u8; 2], records: &[u8]) -> Vec<u8> {
    let mut out = question.to_vec();
    out[2..4].copy_from_slice(&flags);
    out[7] = (records.len() / ADDRESS.len()) as u8;
    out.extend_from_slice(records);
    out
}

async fn server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("its address");
    (socket, address)
}

async fn server_of_both() -> (UdpSocket, SocketAddr, TcpListener) {
    // A port that is free for UDP may be in use for TCP.
    loop {
        let (socket, address) = server().await;
        if let Ok(listener) = TcpListener::bind(address).await {
            return (socket, address, listener);
        }
    }
}

async fn reply_over_tcp(socket: &UdpSocket, listener: &TcpListener, addresses: usize) {
    reply_once(socket, |question| vec![answer(question, [0x83, 0x80], b"")]).await;
    let (mut stream, _) = listener.accept().await.expect("a client");
    let mut question = vec![0; usize::from(stream.read_u16().await.expect("a length"))];
    stream.read_exact(&mut question).await.expect("a question");
    let records = ADDRESS.repeat(addresses);
    let message = answer(&question, [0x81, 0x80], &records);
    stream.write_u16(message.len() as u16).await.expect("sent");
    stream.write_all(&message).await.expect("sent");
}

async fn reply_once(socket: &UdpSocket, reply: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let mut space = [0; 512];
    let (length, peer) = socket.recv_from(&mut space).await.expect("a question");
    for message in reply(&space[..length]) {
        socket.send_to(&message, peer).await.expect("sent");
    }
}

async fn find(server: SocketAddr) -> Result<Resolved, Error> {
    let servers = NameServers::new(vec![server]);
    look_up("a.example", &asking(&servers), LONG).await
}

fn asking(servers: &NameServers) -> Asking<'_> {
    Asking {
        turns: Turns::new(servers),
        patience: PATIENCE,
        kinds: &[RecordType::A],
        most: MAX_SERVERS,
        at_once: true,
    }
}

#[tokio::test]
async fn guesses_are_passed_over() {
    let (socket, address) = server().await;
    let reply = reply_once(&socket, |question| {
        let mut guess = answer(question, [0x81, 0x80], ADDRESS);
        guess[0] ^= 1;
        vec![
            guess,
            b"x".to_vec(),
            answer(question, [0x81, 0x80], ADDRESS),
        ]
    });
    let (found, ()) = tokio::join!(find(address), reply);
    let found = found.expect("an address");
    assert_eq!(found.addresses, [IpAddr::from([10, 0, 0, 1])]);
    assert_eq!(found.ttl, Duration::from_secs(60));
}

#[tokio::test]
async fn names_that_are_not_there_are_told() {
    let (socket, address) = server().await;
    let reply = reply_once(&socket, |question| {
        vec![answer(question, [0x81, 0x83], b"")]
    });
    let (found, ()) = tokio::join!(find(address), reply);
    assert_eq!(found, Err(Error::NotFound));
}

#[tokio::test]
async fn long_answers_come_over_tcp() {
    let (socket, address, listener) = server_of_both().await;
    let reply = reply_over_tcp(&socket, &listener, 100);
    let (found, ()) = tokio::join!(find(address), reply);
    assert_eq!(found.expect("addresses").addresses.len(), 100);
}

/// A name server whose answer over TCP has 100 addresses.
#[tokio::test]
async fn long_answers_wait_for_room() {
    let (socket, address, listener) = server_of_both().await;
    let everything = query::MESSAGES.acquire_many(u16::MAX.into()).await;
    let everything = everything.expect("it is not closed");
    let servers = NameServers::new(vec![address]);
    let mut asking = asking(&servers);
    (asking.most, asking.patience) = (70, LONG);
    let later = async {
        reply_over_tcp(&socket, &listener, 100).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let mut finding = std::pin::pin!(addresses("a.example", &asking));
    tokio::select! {
        found = &mut finding => panic!("it did not wait: {found:?}"),
        () = later => drop(everything),
    }
    let found = finding.await.expect("addresses");
    assert_eq!((found.addresses.len(), found.limited), (70, true));
}

#[tokio::test]
async fn silence_ends() {
    let (_socket, address) = server().await;
    let limit = Duration::from_millis(50);
    let servers = NameServers::new(vec![address]);
    let found = look_up("a.example", &asking(&servers), limit).await;
    assert_eq!(found, Err(Error::TimedOut));
}

/// Responds to each question about a name that begins with one of these letters. Names that begin with
/// "c" are aliases of one that begins with "d".
async fn respond_to(socket: &UdpSocket, letters: &str) {
    const ALIAS: &[u8] = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x03\x01d\0";
    let mut space = [0; 512];
    loop {
        let (length, peer) = socket.recv_from(&mut space).await.expect("a question");
        let question = &space[..length];
        let letter = char::from(question[13]);
        if !letters.contains(letter) {
            continue;
        }
        let mut message = answer(question, [0x81, 0x80], ADDRESS);
        if letter == 'c' {
            message.truncate(length);
            message.extend(ALIAS);
        }
        socket.send_to(&message, peer).await.expect("sent");
    }
}

/// How many questions wait for an answer of the server.
fn unanswered(socket: &UdpSocket) -> usize {
    std::iter::from_fn(|| socket.try_recv(&mut [0; 512]).ok()).count()
}

fn first_of(servers: &NameServers) -> Option<usize> {
    Turns::new(servers).next().next()
}

#[test]
fn all_servers_are_asked_within_the_limit() {
    let silent: Vec<SocketAddr> = vec!["192.0.2.1:53".parse().expect("an address"); 2];
    let share = |count: usize, limit| {
        let servers = NameServers::new(silent[..count].to_vec());
        patience(&servers, Duration::from_millis(limit)).as_millis()
    };
    assert_eq!([share(1, 30_000), share(2, 30_000)], [5000, 5000]);
    assert_eq!([share(1, 4000), share(2, 4000)], [5000, 2000]);
    assert_eq!(share(2, 0), 1);
}

#[tokio::test]
async fn one_that_has_responded_is_asked_first_instead_of_one_that_has_not() {
    let ((silent, of_silent), (socket, address)) = (server().await, server().await);
    let servers = NameServers::new(vec![of_silent, address]);
    let both = async {
        // Two at once change the order once.
        let (one, other) = (asking(&servers), asking(&servers));
        let found = tokio::join!(
            look_up("a.example", &one, LONG),
            look_up("b.example", &other, LONG)
        );
        assert!(found.0.is_ok() && found.1.is_ok(), "{found:?}");
    };
    tokio::select! {
        () = both => {}
        () = respond_to(&socket, "ab") => unreachable!("it serves for ever"),
    }
    assert_eq!(first_of(&servers), Some(1));
    unanswered(&silent);
    let mut third = asking(&servers);
    third.patience = LONG;
    tokio::select! {
        found = look_up("b.example", &third, LONG) => assert!(found.is_ok(), "{found:?}"),
        () = respond_to(&socket, "b") => unreachable!("it serves for ever"),
    }
    assert_eq!(unanswered(&silent), 0);
}

#[tokio::test]
async fn one_that_responds_about_other_names_stays_the_first() {
    let ((first, of_first), (second, of_second)) = (server().await, server().await);
    let servers = NameServers::new(vec![of_first, of_second]);
    let test = async {
        // Clients of names without an answer leave, or wait in vain; only the second server knows "s".
        let silent = asking(&servers);
        let left = look_up("x.example", &silent, LONG);
        let left = tokio::time::timeout(PATIENCE / 2, left).await;
        assert!(left.is_err(), "{left:?}");
        let found = look_up("x.example", &silent, 5 * PATIENCE).await;
        assert_eq!(found, Err(Error::TimedOut));
        let (stranger, honest) = (asking(&servers), asking(&servers));
        let found = tokio::join!(
            look_up("s.example", &stranger, LONG),
            look_up("a.example", &honest, LONG)
        );
        assert!(found.0.is_ok() && found.1.is_ok(), "{found:?}");
        assert_eq!(first_of(&servers), Some(0));
    };
    tokio::select! {
        () = test => {}
        ((), ()) = async { tokio::join!(respond_to(&first, "a"), respond_to(&second, "s")) } => {}
    }
}

#[tokio::test]
async fn one_that_is_silent_about_a_name_is_waited_for_once_in_a_lookup() {
    let ((first, of_first), (second, of_second)) = (server().await, server().await);
    let servers = NameServers::new(vec![of_first, of_second]);
    // It responds to others.
    Turns::new(&servers).failed(0);
    let asking = asking(&servers);
    Turns::new(&servers).failed(0);
    tokio::select! {
        found = look_up("c.example", &asking, LONG) => assert!(found.is_ok(), "{found:?}"),
        () = respond_to(&second, "cd") => unreachable!("it serves for ever"),
    }
    assert_eq!((unanswered(&first), first_of(&servers)), (1, Some(0)));
}

#[tokio::test]
async fn servers_of_both_families_are_asked() {
    let (silent, of_silent) = server().await;
    let socket = UdpSocket::bind("[::1]:0").await.expect("a socket");
    let of_socket = socket.local_addr().expect("its address");
    // No question for this one can be sent.
    let unreachable: SocketAddr = "[100::1]:53".parse().expect("an address");
    let servers = NameServers::new(vec![unreachable, of_silent, of_socket]);
    let asking = asking(&servers);
    tokio::select! {
        found = look_up("a.example", &asking, LONG) => assert!(found.is_ok(), "{found:?}"),
        () = respond_to(&socket, "a") => unreachable!("it serves for ever"),
    }
    assert!(unanswered(&silent) >= 1);
}

#[tokio::test]
async fn one_that_reports_an_error_is_not_asked_again() {
    let ((broken, of_broken), (socket, address)) = (server().await, server().await);
    let servers = NameServers::new(vec![of_broken, address]);
    let mut asking = asking(&servers);
    asking.patience = LONG;
    let reply = async {
        reply_once(&broken, |question| {
            vec![answer(question, [0x81, 0x82], b"")]
        })
        .await;
        reply_once(&socket, |question| {
            vec![answer(question, [0x81, 0x85], b"")]
        })
        .await;
    };
    let (found, ()) = tokio::join!(look_up("a.example", &asking, LONG), reply);
    assert_eq!(found, Err(Error::Refused));
    assert_eq!(first_of(&servers), Some(0));
}

/// A hostile name server: each name has 240 addresses, and a service 60 names.
#[tokio::test]
async fn of_very_many_servers_some_are_known() {
    let (socket, address) = server().await;
    let hostile = async {
        let mut space = [0; 512];
        loop {
            let (length, peer) = socket.recv_from(&mut space).await.expect("a question");
            let mut message = space[..length].to_vec();
            let is_about_a_service = message.ends_with(&[0, 33, 0, 1]);
            let count: u8 = if is_about_a_service { 60 } else { 240 };
            message[2..4].copy_from_slice(&[0x81, 0x80]);
            message[7] = count;
            for number in 0..count {
                match is_about_a_service {
                    // The name in the question, SRV, IN, a minute, 9 bytes: priority, weight,
                    // port, and a name of one letter.
                    true => {
                        message.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 9]);
                        message.extend([0, 1, 0, 1, 0, 80, 1, b'a' + number % 26, 0]);
                    }
                    false => message.extend_from_slice(ADDRESS),
                }
            }
            socket.send_to(&message, peer).await.expect("sent");
        }
    };
    let servers = NameServers::new(vec![address]);
    let asking = asking(&servers);
    let found = tokio::select! {
        found = look_up_service("a.example", &asking, LONG) => found.expect("a service"),
        () = hostile => unreachable!("it serves for ever"),
    };
    let known: usize = found.iter().map(|(_, own)| own.addresses.len()).sum();
    assert_eq!(known, MAX_SERVERS);
}
