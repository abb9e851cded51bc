"""The room in which a worker's process handles a stranger's file: it dies with its parent and reaches no network.

    closed_by = enter(results, network=False)        # the first thing that the process does, while it has one thread
    closed_by                                        # "a filter of system calls (seccomp)"

Three walls stand before the network. A filter of system calls comes first, because it needs no right, works in
containers, changes nothing else of what the process sees, and leaves GPUs alone: the process can make Unix and Netlink
sockets, and no others. A network namespace is for kernels without such filters, for it needs a user namespace, which
many machines refuse, and in which files of others change hands. An audit hook refuses what Python itself tries, with a
message that says why; where neither of the others can be had, it and the environment's switches are all there is.

What stays open is the way over a Unix socket to a service of this machine that has a network itself.

Source: Linux's linux/seccomp.h, linux/filter.h, linux/audit.h, linux/prctl.h, linux/sched.h and syscall tables.
"""

import ctypes
import errno
import os
import platform
import select
import signal
import subprocess
import sys
from pathlib import Path

FILTERED = "a filter of system calls (seccomp)"
APART = "a network namespace"
SWITCHED_OFF = "an audit hook and environment variables alone, which native code can pass"
_WHY = "a worker of tftrt_yolo runs without network access"

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 38, 22
_SECCOMP_MODE_FILTER, _SET_MODE_FILTER = 2, 1  # of prctl(2) and of seccomp(2)
_SPEC_ALLOW = 4  # SECCOMP_FILTER_FLAG_SPEC_ALLOW: without it, kernels before 5.16 slow the whole process down
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_X32 = 0x40000000  # bit of the numbers of x86-64's third set of system calls
# Machine to the kernel's name of its system calls, and their numbers of seccomp(2) and socket(2).
_MACHINES = {"x86_64": (0xC000003E, 317, 41), "aarch64": (0xC00000B7, 277, 198)}
_IO_URING_SETUP, _PIDFD_GETFD = 425, 438  # make sockets, and take those of other processes; on every machine
_FAMILIES = (1, 16)  # AF_UNIX, AF_NETLINK
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16  # bytes into struct seccomp_data; the low half of the argument


class _Instruction(ctypes.Structure):
    """Struct sock_filter."""

    _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    """Struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def enter(results: int, *, network: bool) -> str:
    """Ties the process to its parent and closes the network.

    Args:
      results: The pipe into which the process writes; that nobody reads it says that the parent is gone already.
      network: Whether the network stays open.

    Returns:
      What closes the network; empty text if nothing does.
    """
    for name in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all; the parent ends its workers itself
        signal.signal(name, signal.SIG_IGN)
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux":
        _prctl(libc, _PR_SET_PDEATHSIG, signal.SIGKILL)
        _end_without_reader(results)
    return "" if network else _close_network(libc)


def _end_without_reader(pipe: int) -> None:
    """Ends the process if the other end of a pipe is closed."""
    poll = select.poll()
    poll.register(pipe, 0)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        os._exit(1)


def _close_network(libc: ctypes.CDLL) -> str:
    """Puts the walls up; gives what the outermost is."""
    sys.addaudithook(_refuse_network)
    _avoid_sockets()
    if sys.platform != "linux":
        return SWITCHED_OFF
    _load_gpu_driver()
    if _filter_system_calls(libc):
        return FILTERED
    return APART if _leave_network(libc) else SWITCHED_OFF


def _refuse_network(event: str, arguments: tuple) -> None:
    """Audit hook: whatever would reach another machine from Python is refused."""
    if not event.startswith("socket."):
        return
    if event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}:
        raise PermissionError(errno.EACCES, _WHY)
    if event == "socket.__new__":
        family = arguments[1]
    elif event in {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"}:
        family = arguments[0].family
    else:
        return
    if family not in (*_FAMILIES, -1):  # -1: of a file descriptor that is there already
        raise PermissionError(errno.EACCES, _WHY)


def _avoid_sockets() -> None:
    """Spares libraries two attempts that would be refused: for IPv6, and for the address of the network card."""
    import _socket
    import random
    import uuid

    _socket.has_ipv6 = False  # urllib3 makes a socket to see whether it has
    uuid._node = random.SystemRandom().getrandbits(48) | 1 << 40  # Ultralytics wants one for its statistics


def _load_gpu_driver() -> None:
    """Has NVIDIA's tool make the device that CUDA would have it make later, when it may no longer become root."""
    tool = "/usr/bin/nvidia-modprobe"
    if os.path.exists("/dev/nvidiactl") and not os.path.exists("/dev/nvidia-uvm") and os.access(tool, os.X_OK):
        subprocess.run([tool, "-u", "-c=0"], check=False, stdin=subprocess.DEVNULL)


def _filter_system_calls(libc: ctypes.CDLL) -> bool:
    """Refuses sockets to other machines from here on, in every thread and program to come; false if it cannot."""
    if platform.machine() not in _MACHINES or sys.maxsize < 1 << 32:
        return False
    _, seccomp, _ = _MACHINES[platform.machine()]
    instructions = _instructions(platform.machine())
    program = _Program(len(instructions), (_Instruction * len(instructions))(*instructions))
    if not _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1):
        return False
    for flags in (_SPEC_ALLOW, 0):
        number, mode = ctypes.c_long(seccomp), ctypes.c_ulong(_SET_MODE_FILTER)
        if libc.syscall(number, mode, ctypes.c_ulong(flags), ctypes.byref(program)) == 0:
            return True
    return _prctl(libc, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))


def _instructions(machine: str) -> list[_Instruction]:
    """The filter: each condition is followed by what it returns."""
    name, _, socket = _MACHINES[machine]

    def unless(code: int, k: int, outcome: int) -> list[_Instruction]:
        return [_Instruction(code, 1, 0, k), _Instruction(_RETURN, 0, 0, outcome)]

    def where(code: int, k: int, outcome: int) -> list[_Instruction]:
        return [_Instruction(code, 0, 1, k), _Instruction(_RETURN, 0, 0, outcome)]

    unknown = _REFUSE | errno.ENOSYS  # as of a kernel that does not have it: programs then do without
    return [
        _Instruction(_LOAD, 0, 0, _MACHINE),
        *unless(_IF_EQUAL, name, unknown),  # 32-bit programs, whose numbers mean something else
        _Instruction(_LOAD, 0, 0, _NUMBER),
        *(where(_IF_AT_LEAST, _X32, unknown) if machine == "x86_64" else ()),
        *where(_IF_EQUAL, _IO_URING_SETUP, unknown),
        *where(_IF_EQUAL, _PIDFD_GETFD, unknown),
        *unless(_IF_EQUAL, socket, _ALLOW),
        _Instruction(_LOAD, 0, 0, _FIRST_ARGUMENT),
        *(instruction for family in _FAMILIES for instruction in where(_IF_EQUAL, family, _ALLOW)),
        _Instruction(_RETURN, 0, 0, _REFUSE | errno.EACCES),
    ]


def _leave_network(libc: ctypes.CDLL) -> bool:
    """Moves into a network of its own, without anything in it; false if it may not."""
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWNET) == 0:
        return True
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    for file, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path("/proc/self", file).write_text(text)
    return True


def _prctl(libc: ctypes.CDLL, option: int, *arguments: int) -> bool:
    """Calls prctl(2); whether it did what was asked."""
    values = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    return libc.prctl(option, *values) == 0
