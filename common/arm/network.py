"""Where the arm's domain is: CycloneDDS's configuration from ours, and what the kernel dropped before it saw it.

Checked here, as CycloneDDS itself aborts the process on a peer that it cannot resolve.
"""

import os
import socket
from pathlib import Path
from xml.sax.saxutils import quoteattr

from common.config.schema import DdsConfig
from common.errors import DeviceMissing

_LOOPBACK = "127.0.0.1"
_PARTICIPANTS = 32  # of one host that unicast discovery asks; the default of 0.10 is 9, too few for a busy machine


def cyclone_xml(cfg: DdsConfig) -> str:
    """CycloneDDS's configuration. Raises DeviceMissing for an interface or a peer that is not there."""
    peers = [_resolved(peer) for peer in cfg.peers]
    if cfg.interface == "auto":
        interface = '<NetworkInterface autodetermine="true"/>'
    else:
        there = [name for _, name in socket.if_nameindex()]
        if cfg.interface not in there:
            raise DeviceMissing(f"dds.interface: no {cfg.interface} here; there are: {', '.join(there)}")
        # loopback has no multicast on Linux: participants there find each other by address
        loopback = cfg.interface == "lo"
        multicast = ' multicast="false"' if loopback else ""
        interface = f"<NetworkInterface name={quoteattr(cfg.interface)}{multicast}/>"
        peers += [_LOOPBACK] * loopback
    listed = "".join(f"<Peer address={quoteattr(peer)}/>" for peer in peers)
    discovery = (
        f"<Discovery><ParticipantIndex>auto</ParticipantIndex>"
        f"<MaxAutoParticipantIndex>{_PARTICIPANTS}</MaxAutoParticipantIndex><Peers>{listed}</Peers></Discovery>"
        if listed
        else ""
    )
    only_unicast = "<AllowMulticast>false</AllowMulticast>" if cfg.interface == "lo" else ""
    general = f"<General><Interfaces>{interface}</Interfaces>{only_unicast}</General>"
    return f'<CycloneDDS><Domain Id="any">{general}{discovery}</Domain></CycloneDDS>'


def _resolved(peer: str) -> str:
    try:
        found = socket.getaddrinfo(peer, None, socket.AF_INET, socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as e:
        raise DeviceMissing(f"dds.peers: {peer}: {getattr(e, 'strerror', None) or e}") from None
    return str(found[0][4][0])


def dropped_datagrams() -> int:
    """Datagrams that the kernel has dropped on this process's UDP sockets, as they were not read in time."""
    inodes = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            name = os.readlink(link)
        except OSError:
            continue  # closed meanwhile
        if name.startswith("socket:["):
            inodes.add(name[8:-1])
    rows = (line.split() for line in Path("/proc/self/net/udp").read_text().splitlines()[1:])
    return sum(int(row[12]) for row in rows if row[9] in inodes)
