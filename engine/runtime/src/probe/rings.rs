//! Whether io_uring is there, with the operations that glommio uses.

use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};

use super::Finding;

const SUBJECT: &str = "io_uring";

/// What glommio sends to the kernel for us: files, sockets, timers, and their cancellation.
const NEEDED: [(&str, u8); 19] = [
    ("read", opcode::Read::CODE),
    ("write", opcode::Write::CODE),
    ("read fixed", opcode::ReadFixed::CODE),
    ("write fixed", opcode::WriteFixed::CODE),
    ("fsync", opcode::Fsync::CODE),
    ("fallocate", opcode::Fallocate::CODE),
    ("openat", opcode::OpenAt::CODE),
    ("statx", opcode::Statx::CODE),
    ("close", opcode::Close::CODE),
    ("poll add", opcode::PollAdd::CODE),
    ("poll remove", opcode::PollRemove::CODE),
    ("timeout", opcode::Timeout::CODE),
    ("timeout remove", opcode::TimeoutRemove::CODE),
    ("async cancel", opcode::AsyncCancel::CODE),
    ("accept", opcode::Accept::CODE),
    ("connect", opcode::Connect::CODE),
    ("send", opcode::Send::CODE),
    ("recv", opcode::Recv::CODE),
    ("sendmsg", opcode::SendMsg::CODE),
];

pub(super) fn io_uring() -> Finding {
    let ring = match IoUring::new(8) {
        Ok(ring) => ring,
        Err(error) => {
            let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
            return refused(&error, disabled.unwrap_or_default().trim());
        }
    };
    let mut probe = Probe::new();
    if let Err(error) = ring.submitter().register_probe(&mut probe) {
        return Finding::missing(SUBJECT, format!("it cannot be asked: {error}"), NEWER);
    }
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(_, code)| !probe.is_supported(*code))
        .map(|(name, _)| *name)
        .collect();
    match missing.is_empty() {
        true => Finding::good(SUBJECT, "all needed operations work"),
        false => {
            let detail = format!("the kernel has no {}", missing.join(", "));
            Finding::missing(SUBJECT, detail, NEWER)
        }
    }
}

const NEWER: &str = "Use Linux 5.10 or newer";

/// Why the kernel gave no ring, as far as its error and `kernel.io_uring_disabled` tell.
fn refused(error: &io::Error, disabled: &str) -> Finding {
    match (error.kind(), disabled) {
        (io::ErrorKind::PermissionDenied, "1" | "2") => Finding::missing(
            SUBJECT,
            format!("the sysctl kernel.io_uring_disabled is {disabled}"),
            "Allow it with `sysctl -w kernel.io_uring_disabled=0` on the host",
        ),
        (io::ErrorKind::PermissionDenied, _) => Finding::missing(
            SUBJECT,
            "a seccomp filter forbids it, as Docker's and containerd's default profiles do",
            "Docker, Podman: run with `--security-opt seccomp=unconfined`, or with a profile that \
             allows io_uring_setup, io_uring_enter and io_uring_register. Kubernetes: set \
             securityContext.seccompProfile.type to Unconfined, or to such a Localhost profile",
        ),
        (io::ErrorKind::Unsupported, _) => Finding::missing(
            SUBJECT,
            "this kernel has none",
            "Use Linux 5.10 or newer, built with CONFIG_IO_URING",
        ),
        (io::ErrorKind::OutOfMemory, _) => Finding::missing(
            SUBJECT,
            "no memory may be locked for it",
            super::limits::MEMLOCK_MEND,
        ),
        _ => Finding::missing(SUBJECT, format!("it cannot be set up: {error}"), NEWER),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn text(errno: i32, disabled: &str) -> String {
        let finding = refused(&io::Error::from_raw_os_error(errno), disabled);
        assert_eq!(finding.verdict, Verdict::Missing);
        finding.to_string()
    }

    #[test]
    fn each_refusal_names_its_cause_and_its_mend() {
        let (eperm, enosys, enomem) = (1, 38, 12);
        assert!(text(eperm, "2").contains("sysctl -w kernel.io_uring_disabled=0"));
        assert!(text(eperm, "0").contains("--security-opt seccomp=unconfined"));
        assert!(text(eperm, "").contains("Kubernetes"));
        assert!(text(enosys, "").contains("CONFIG_IO_URING"));
        assert!(text(enomem, "").contains("ulimit -l"));
    }
}
