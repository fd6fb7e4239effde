//! The sockets of the pod's other processes.
//!
//! The containers of a pod share a network namespace, but by default no process
//! namespace. `/proc/net/tcp` (proc_net(5)) lists the sockets of all of them. One that
//! a process has open has an inode; one that only the kernel still keeps, in
//! TIME_WAIT for example, has none.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// The fields of the state and the inode in a line of the table, from 0.
const STATE: usize = 3;
const INODE: usize = 9;
/// The state of a listening socket (TCP_LISTEN).
const LISTENS: &str = "0A";

/// The TCP sockets in this network namespace that other processes have open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sockets {
    /// Inodes of the listening sockets.
    pub listening: Vec<u64>,
    /// How many others there are: connected, or being closed.
    pub connected: usize,
}

impl Sockets {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.connected == 0 && self.listening.is_empty()
    }
}

/// Lists the sockets of the other processes.
///
/// # Errors
/// When the kernel's tables cannot be read.
pub fn sockets() -> io::Result<Sockets> {
    let proc = Path::new("/proc/self");
    // Read before the tables: a socket that this process opens in between counts
    // as another process's, never the other way round.
    let own = own_sockets(&proc.join("fd"))?;
    let mut others = Sockets::default();
    for table in ["net/tcp", "net/tcp6"] {
        let table = match File::open(proc.join(table)) {
            Ok(table) => table,
            // Not there without IPv6 in the kernel.
            Err(error) if table == "net/tcp6" && error.kind() == io::ErrorKind::NotFound => {
                continue;
            }
            Err(error) => return Err(error),
        };
        add_others(BufReader::new(table), &own, &mut others)?;
    }
    Ok(others)
}

/// The inodes of this process's sockets, sorted: descriptors are links that
/// read `socket:[inode]`.
fn own_sockets(descriptors: &Path) -> io::Result<Vec<u64>> {
    let mut inodes = Vec::new();
    for descriptor in fs::read_dir(descriptors)? {
        // It may have been closed since.
        let Ok(link) = fs::read_link(descriptor?.path()) else {
            continue;
        };
        inodes.extend(link.to_str().and_then(socket_inode));
    }
    inodes.sort_unstable();
    Ok(inodes)
}

fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

fn add_others(mut table: impl BufRead, own: &[u64], others: &mut Sockets) -> io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if table.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let field = |number| line.split_ascii_whitespace().nth(number);
        // The heading has no number in this field.
        let inode = field(INODE).and_then(|text| text.parse().ok()).unwrap_or(0);
        if inode == 0 || own.binary_search(&inode).is_ok() {
            continue;
        }
        if field(STATE) == Some(LISTENS) {
            others.listening.push(inode);
        } else {
            others.connected += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    /// The sockets of this process are 7 and 9.
    fn others(sockets: &[(u64, &str)]) -> Sockets {
        let line = |(inode, state): &(u64, &str)| {
            format!(
                "   0: 0100007F:0050 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000000000000000 100 0 0 10 0\n"
            )
        };
        let lines: String = sockets.iter().map(line).collect();
        let table = HEADING.to_owned() + &lines;
        let mut others = Sockets::default();
        add_others(table.as_bytes(), &[7, 9], &mut others).unwrap();
        others
    }

    #[test]
    fn sockets_of_this_process_and_of_the_kernel_do_not_count() {
        assert!(others(&[]).is_empty());
        assert!(others(&[(7, "0A"), (0, "06"), (9, "01")]).is_empty());
        let found = others(&[(7, "0A"), (8, "0A"), (10, "01"), (11, "08")]);
        let expected = Sockets {
            listening: vec![8],
            connected: 2,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_socket_of_this_process_is_known_by_its_inode() {
        let before = own_sockets(Path::new("/proc/self/fd")).unwrap();
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let after = own_sockets(Path::new("/proc/self/fd")).unwrap();
        let fresh: Vec<_> = after
            .iter()
            .filter(|inode| !before.contains(inode))
            .collect();
        assert!(!fresh.is_empty());
        assert_eq!(socket_inode("socket:[12]"), Some(12));
        assert_eq!(socket_inode("pipe:[12]"), None);
        assert_eq!(socket_inode("/dev/null"), None);
    }

    #[test]
    fn the_tables_of_this_kernel_are_parsed() {
        let own = own_sockets(Path::new("/proc/self/fd")).unwrap();
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let table = BufReader::new(File::open("/proc/self/net/tcp").unwrap());
        let mut others = Sockets::default();
        add_others(table, &own, &mut others).unwrap();
        // The listener was opened after the descriptors were read.
        assert!(!others.listening.is_empty());
    }
}
