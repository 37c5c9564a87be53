"""A disposable Linux guest with the Pi's GPIO lines, under qemu's software emulation (no KVM, no device, no privilege).

`Guest(folder, "rig", "rig")` resumes a saved machine on a throw-away overlay of its disk: what a test does to it is
gone at the end.
"""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

# mitigations=off saves emulation work; udev would load the listed drivers for nothing, seconds each under emulation.
CMDLINE = (
    "console=ttyS0 root=/dev/vda rw net.ifnames=0 mitigations=off audit=0 panic=-1 quiet loglevel=4 tsc=reliable "
    "no_timer_check random.trust_cpu=on systemd.show_status=0 module_blacklist=kvm,kvm_amd,kvm_intel,aesni_intel,"
    "ghash_clmulni_intel,crct10dif_pclmul,sha512_ssse3,crc32_pclmul,powernow_k8,acpi_cpufreq,floppy,pcspkr,parport,"
    "parport_pc,ppdev,i2c_piix4,psmouse,evdev,joydev,serio_raw,bochs,edac_mce_amd,rapl,button"
)
VIRTUAL_TIME = ("-icount", "shift=0,sleep=off")
# The saved machine has measured its TSC, which is the host's; in virtual time it counts nanoseconds. By it a second
# would be as long as the host's TSC is fast, and each timer would come early, ten times over. The HPET is right.
CLOCK_IN_VIRTUAL_TIME = "echo hpet > /sys/devices/system/clocksource/clocksource0/current_clocksource"
BOOT_S = 240.0  # a cold boot takes 15 s on two idle cores


class GuestError(RuntimeError):
    """The machine, its agent or a command in it failed; the text says which and why."""


class Guest:
    """One running machine from DISK.qcow2 in `folder` and MEMORY.ram, saved with that disk or with the one below it.

    Without `memory` it boots cold; with `keep` writes go to the disk instead of an overlay. With `virtual_time` its
    clock counts instructions, a thousand million a second of both CPUs together, and skips what is idle: how busy the
    host is does not show in it. It runs on between calls, too, so that a scenario is one `sh`.
    """

    def __init__(
        self, folder: Path, disk: str, memory: str | None = None, *, keep: bool = False, virtual_time: bool = False
    ) -> None:
        self.folder = folder
        self.dir = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
        self._sockets: list[socket.socket] = []
        self._replies: BinaryIO | None = None
        self._buffer = bytearray()
        self._id = 0
        drive = f"file={folder}/{disk}.qcow2,if=none,id=d0,format=qcow2" + ("" if keep else ",snapshot=on")
        # setpriv: the machine dies with the test run, however that ends.
        command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"]
        command += ["-accel", "tcg,thread=single", *VIRTUAL_TIME] if virtual_time else ["-accel", "tcg,thread=multi"]
        command += ["-M", "pc", "-cpu", "max", "-smp", "2", "-m", "1024", "-nodefaults", "-display", "none"]
        command += ["-no-reboot", "-serial", f"file:{self.dir}/console.log"]
        command += ["-kernel", f"{folder}/vmlinuz", "-initrd", f"{folder}/initrd.gz", "-append", CMDLINE]
        command += ["-drive", drive, "-device", "virtio-blk-pci,drive=d0,bus=pci.0,addr=5"]
        command += ["-device", "virtio-rng-pci,bus=pci.0,addr=6", "-device", "virtio-serial-pci,bus=pci.0,addr=7"]
        command += ["-chardev", f"socket,id=lab,path={self.dir}/agent,server=on,wait=off"]
        command += [
            "-device",
            "virtserialport,chardev=lab,name=lab.0",
            "-qmp",
            f"unix:{self.dir}/qmp,server=on,wait=off",
        ]
        if memory:  # it comes in by migration: loadvm cannot be combined with snapshot=on
            command += ["-incoming", "exec:cat " + shlex.quote(f"{folder}/{memory}.ram")]
        with open(self.dir / "qemu.err", "wb") as err:
            self._process = subprocess.Popen(command, stderr=err, stdin=subprocess.DEVNULL)
        try:
            self._agent, self._monitor = self._connect("agent"), self._connect("qmp")
            self._monitor.settimeout(120)
            self._replies = self._monitor.makefile("rb")
            self._replies.readline()
            self.qmp("qmp_capabilities")
            if memory:
                self._wait_resumed(virtual_time)
            else:
                self._wait_hello(BOOT_S)
        except BaseException:
            self.close()
            raise

    # ---- plumbing

    def _connect(self, name: str) -> socket.socket:
        end = time.monotonic() + 10
        while time.monotonic() < end and self._process.poll() is None:
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(f"{self.dir}/{name}")
            except OSError:
                s.close()
                time.sleep(0.02)
                continue
            self._sockets.append(s)
            return s
        raise GuestError(f"qemu does not answer: {self._qemu_says()}")

    def _qemu_says(self) -> str:
        return (self.dir / "qemu.err").read_text().strip()

    def _wait_resumed(self, virtual_time: bool) -> None:
        end = time.monotonic() + 120
        while self.qmp("query-status")["status"] == "inmigrate":
            if time.monotonic() > end:
                raise GuestError("the saved memory was not read within 120 s")
            time.sleep(0.02)
        self.qmp("cont")
        if virtual_time:
            self.sh(CLOCK_IN_VIRTUAL_TIME, 24 * 3600)
        self.sh(f"date -s @{time.time():.3f} >/dev/null")  # the guest's clock stood still while it was saved

    def _wait_hello(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while b"hello" not in self._line(end):
            pass

    def qmp(self, command: str, **arguments: Any) -> Any:
        """One command of qemu's monitor; returns its `return`."""
        self._monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while self._replies and (line := self._replies.readline()):
            reply = json.loads(line)
            if "error" in reply:
                raise GuestError(f"{command}: {reply['error']}")
            if "return" in reply:
                return reply["return"]
        raise GuestError(f"qemu is gone: {self._qemu_says()}")

    def _fill(self, end: float) -> None:
        self._agent.settimeout(max(0.01, end - time.monotonic()))
        try:
            data = self._agent.recv(1 << 18)
        except TimeoutError:
            raise GuestError("the guest's agent does not answer") from None
        if not data:
            raise GuestError("the guest is gone")
        self._buffer += data

    def _line(self, end: float) -> bytes:
        while b"\n" not in self._buffer:
            self._fill(end)
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer[:] = rest
        return line

    def _ask(self, timeout_s: float, payload: bytes = b"", **request: Any) -> dict[str, Any]:
        self._id += 1
        end = time.monotonic() + timeout_s
        self._agent.settimeout(timeout_s)
        self._agent.sendall(json.dumps(dict(request, id=self._id)).encode() + b"\n" + payload)
        while True:
            try:
                reply: dict[str, Any] = json.loads(self._line(end))
            except ValueError:
                continue  # the tail of something the machine said before it was saved
            if reply.get("id") == self._id:
                return reply

    # ---- commands and files

    def sh(self, command: str, timeout_s: float = 60, check: bool = True) -> str:
        """Run a bash command as root; stdout and stderr together.  With `check` a return code but 0 is a GuestError."""
        reply = self._ask(timeout_s + 60, cmd=command, timeout=timeout_s)
        if check and reply["rc"]:
            raise GuestError(f"return code {reply['rc']}: {command}\n{reply['out']}")
        return str(reply["out"])

    def until(self, condition: str, timeout_s: float, what: str) -> None:
        """Wait in the guest until a shell condition holds; what it is waiting for names the error."""
        wait = f"until {condition}; do [ $SECONDS -lt {int(timeout_s)} ] || exit 1; sleep 0.2; done"
        try:
            self.sh(wait, timeout_s + 30)
        except GuestError as e:
            raise GuestError(f"not within {timeout_s:.0f} s: {what}\n{e}") from None

    def put(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        payload = data.encode() if isinstance(data, str) else data
        reply = self._ask(300, payload, put=path, n=len(payload), mode=mode)
        if reply["rc"]:
            raise GuestError(f"put {path}: {reply['out']}")

    def get(self, path: str) -> bytes:
        reply = self._ask(60, get=path)
        if reply["rc"]:
            raise GuestError(f"get {path}: {reply['out']}")
        end = time.monotonic() + 300
        while len(self._buffer) < reply["n"]:
            self._fill(end)
        data = bytes(self._buffer[: reply["n"]])
        del self._buffer[: reply["n"]]
        return data

    def get_sqlite(self, path: str, local: Path) -> sqlite3.Connection:
        """Open a consistent copy (`.backup`, WAL included) of a live database of the guest."""
        self.sh(f"rm -f /var/tmp/copy.db; sqlite3 {shlex.quote(path)} '.timeout 5000' '.backup /var/tmp/copy.db'")
        local.write_bytes(self.get("/var/tmp/copy.db"))
        return sqlite3.connect(local)

    # ---- the machine

    def save(self, memory: str) -> None:
        """Write the memory as MEMORY.ram and end the machine, which must run with `keep`."""
        self.sh("sync")
        self.qmp("stop")
        self.qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 33})
        self.qmp("migrate", uri="exec:cat > " + shlex.quote(f"{self.folder}/{memory}.ram"))
        end = time.monotonic() + 300
        while (status := self.qmp("query-migrate")["status"]) != "completed":
            if status == "failed" or time.monotonic() > end:
                raise GuestError(f"the memory was not saved: {status}")
            time.sleep(0.05)
        self.qmp("quit")
        self._process.wait(60)

    def kill(self) -> None:
        """SIGKILL of the machine: it stops between two instructions, its memory is gone."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(60)

    def close(self) -> None:
        self.kill()
        if self._replies:
            self._replies.close()
        for s in self._sockets:
            s.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
