"""`python -m harness.forbid_io_uring COMMAND...` runs it where io_uring is refused with EPERM, as
Docker's and containerd's seccomp profiles do."""

import ctypes
import errno
import os
import struct
import sys

IO_URING_CALLS = (425, 426, 427)  # setup, enter, register; the same on every architecture
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # classic BPF, on struct seccomp_data
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def filter_instructions():
    calls = len(IO_URING_CALLS)
    yield LOAD_WORD, 0, 0, 0  # the call's number
    for place, call in enumerate(IO_URING_CALLS):
        yield JUMP_IF_EQUAL, calls - place, 0, call
    yield RETURN, 0, 0, ALLOW
    yield RETURN, 0, 0, REFUSE | errno.EPERM


def main():
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in filter_instructions())
    program = Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                 (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
