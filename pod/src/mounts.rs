//! Finds files that are mount points of their own, as with `subPath`: the kubelet
//! updates the directory of a volume, but such a file keeps its old content.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The field of the mount point in a line of mountinfo, from 0.
const MOUNT_POINT: usize = 4;

/// Those of `files` that are mount points. Empty if mountinfo cannot be read.
pub fn mounted_alone(files: &[PathBuf]) -> Vec<&Path> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let points = mount_points(&table);
    let alone = files.iter().filter(|file| points.contains(file));
    alone.map(PathBuf::as_path).collect()
}

/// The fifth field of each line (proc_pid_mountinfo(5)).
fn mount_points(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|&byte| byte == b'\n');
    lines
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(MOUNT_POINT))
        .map(|point| PathBuf::from(OsString::from_vec(unescape(point))))
        .collect()
}

/// Spaces, tabs, line feeds and backslashes are written in octal, as `\040`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match octal {
            Some(byte) if first == b'\\' => {
                text.push(byte);
                rest = &after[3..];
            }
            _ => {
                text.push(first);
                rest = after;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_in_mount_points_are_unescaped() {
        let table = b"24 1 0:22 / / rw - overlay overlay rw\n\
            30 24 0:30 /..data/tls.crt /etc/tls/tls.crt ro,relatime - tmpfs tmpfs rw\n\
            31 24 0:31 / /a\\040b\\134 rw - tmpfs tmpfs rw\n";
        let expected = ["/", "/etc/tls/tls.crt", "/a b\\"].map(PathBuf::from);
        assert_eq!(mount_points(table), expected);
    }

    #[test]
    fn a_mounted_directory_is_one_and_a_file_in_it_is_not() {
        let files = [PathBuf::from("/proc"), PathBuf::from("/proc/version")];
        assert_eq!(mounted_alone(&files), [Path::new("/proc")]);
        assert_eq!(mount_points(b""), Vec::<PathBuf>::new());
        assert_eq!(unescape(b"\\"), b"\\");
        assert_eq!(unescape(b"\\04"), b"\\04");
    }
}
