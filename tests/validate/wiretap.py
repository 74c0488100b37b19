# SPDX-License-Identifier: Apache-2.0
"""Sees every connection that anybody in this network namespace tries to make, whether somebody listens there or not."""
import ctypes
import socket
import struct
import threading

ETH_P_ALL, SO_ATTACH_FILTER, SOL_PACKET, PACKET_STATISTICS = 0x0003, 26, 263, 6
LDB, LD, LDX_IHL, LDB_X, JEQ, AND, RSH, RET = 0x30, 0x20, 0xB1, 0x50, 0x15, 0x54, 0x74, 0x06
YES, NO = 19, 20
# The kernel lets through: TCP's SYN without ACK, and UDP but for what goes to 127.0.0.1, where the name server is.
PROGRAM = [  # code, k, where to go when equal, where else
    (LDB, 0), (RSH, 4), (JEQ, 4, 3, 12),
    (LDB, 9), (JEQ, 17, 5, 7), (LD, 16), (JEQ, 0x7F000001, NO, YES),
    (JEQ, 6, 8, NO), (LDX_IHL, 0), (LDB_X, 13), (AND, 0x12), (JEQ, 2, YES, NO),
    (JEQ, 6, 13, NO), (LDB, 6), (JEQ, 17, YES, 15), (JEQ, 6, 16, NO), (LDB, 53), (AND, 0x12), (JEQ, 2, YES, NO),
    (RET, 0x40000), (RET, 0)]


def assembled():
    out = b""
    for at, (code, k, *jumps) in enumerate(PROGRAM):
        yes, no = (j - at - 1 for j in jumps) if jumps else (0, 0)
        out += struct.pack("HBBI", code, yes, no, k)
    return out


class Wiretap:
    """seen: (protocol, address, port) of every destination."""

    def __init__(self, device="lo"):
        self.seen, self.lock = set(), threading.Lock()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        self.program = ctypes.create_string_buffer(assembled())
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                               struct.pack("HL", len(PROGRAM), ctypes.addressof(self.program)))
        self.socket.bind((device, ETH_P_ALL))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            packet = self.socket.recv(2048)
            v6 = packet[0] >> 4 == 6
            protocol = packet[6] if v6 else packet[9]
            head = 40 if v6 else (packet[0] & 15) * 4
            if protocol not in (6, 17) or len(packet) < head + 4:
                continue
            where = socket.inet_ntop(socket.AF_INET6, packet[24:40]) if v6 else socket.inet_ntoa(packet[16:20])
            with self.lock:
                self.seen.add(("tcp" if protocol == 6 else "udp", where, struct.unpack_from("!H", packet, head + 2)[0]))

    def lost(self):
        """Packets that nobody saw because too many came at once."""
        return struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
