//! Lookups against name servers of the tests.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

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
    let servers = [server];
    look_up("a.example", asking(&servers), Duration::from_secs(60)).await
}

fn asking(servers: &[SocketAddr]) -> Asking<'_> {
    Asking {
        servers,
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
    let servers = [address];
    let mut asking = asking(&servers);
    asking.most = 70;
    let later = async {
        reply_over_tcp(&socket, &listener, 100).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let mut finding = std::pin::pin!(addresses("a.example", asking));
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
    let found = look_up("a.example", asking(&[address]), limit).await;
    assert_eq!(found, Err(Error::TimedOut));
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
    let servers = [address];
    let limit = Duration::from_secs(60);
    let found = tokio::select! {
        found = look_up_service("a.example", asking(&servers), limit) => found.expect("a service"),
        () = hostile => unreachable!("it serves for ever"),
    };
    let known: usize = found.iter().map(|(_, own)| own.addresses.len()).sum();
    assert_eq!(known, MAX_SERVERS);
}
