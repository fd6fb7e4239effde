//! The other processes of the pod, seen by their sockets.
//!
//! The containers of a pod share one network name space and nothing else: no
//! process sees another, but `/proc/net/tcp` (proc_net(5)) lists the sockets
//! of all of them. A socket that somebody holds has an inode; one that only
//! the kernel still keeps, in TIME_WAIT for example, has none.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// Where the inode stands in a line of the table, counted from 0.
const INODE: usize = 9;

/// Whether a process other than this one holds a TCP socket in this network
/// name space: it listens, or has a connection that is not over.
///
/// # Errors
/// When the kernel does not show its tables.
pub fn hold_sockets() -> io::Result<bool> {
    let proc = Path::new("/proc/self");
    // Before the tables: a socket opened in between then seems a neighbour's
    // for once, and never the other way round.
    let own = own_sockets(&proc.join("fd"))?;
    for table in ["net/tcp", "net/tcp6"] {
        let table = match File::open(proc.join(table)) {
            Ok(table) => table,
            // A kernel without IPv6 has no table for it.
            Err(error) if table == "net/tcp6" && error.kind() == io::ErrorKind::NotFound => {
                continue;
            }
            Err(error) => return Err(error),
        };
        if held_by_others(BufReader::new(table), &own)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The inodes of this process's sockets, sorted: descriptors are links that
/// read `socket:[inode]`.
fn own_sockets(descriptors: &Path) -> io::Result<Vec<u64>> {
    let mut inodes = Vec::new();
    for descriptor in fs::read_dir(descriptors)? {
        // One closed since is no socket any more.
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

fn held_by_others(mut table: impl BufRead, own: &[u64]) -> io::Result<bool> {
    let mut line = String::new();
    loop {
        line.clear();
        if table.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        // The heading has no number there.
        let inode = line.split_ascii_whitespace().nth(INODE);
        let inode = inode.and_then(|text| text.parse().ok()).unwrap_or(0);
        if inode != 0 && own.binary_search(&inode).is_err() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn table(inodes: &[u64]) -> String {
        let line = |inode| {
            format!(
                "   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000000000000000 100 0 0 10 0\n"
            )
        };
        let lines: String = inodes.iter().map(line).collect();
        HEADING.to_owned() + &lines
    }

    #[test]
    fn one_s_own_sockets_and_those_of_the_kernel_are_nobody_else_s() {
        for (inodes, others) in [
            (vec![], false),
            (vec![7, 0, 9], false),
            (vec![7, 8, 9], true),
            (vec![1], true),
        ] {
            let found = held_by_others(table(&inodes).as_bytes(), &[7, 9]).unwrap();
            assert_eq!(found, others, "{inodes:?}");
        }
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
    fn the_kernel_s_own_tables_are_understood() {
        let own = own_sockets(Path::new("/proc/self/fd")).unwrap();
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let table = || BufReader::new(File::open("/proc/self/net/tcp").unwrap());
        // The listener came after the look at the descriptors.
        assert!(held_by_others(table(), &own).unwrap());
    }
}
