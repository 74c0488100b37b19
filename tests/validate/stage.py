# SPDX-License-Identifier: Apache-2.0
"""Where the servers of the attacks are, and the list of attacks, which attack_*.py fill."""
import ipaddress

HERE, HERE_V6, EVIL, NET, NET_V6 = "20.0.0.1", "2a00::1", "20.0.0.66", "20.0.0.0/24", "2a00::/64"
TRAP_PORTS = (22, 25, 53, 80, 443, 3306, 5432, 5672, 6379, 8080, 8443, 9200, 15672)
ATTACKS = []


def is_ours(address):
    a = ipaddress.ip_address(address)
    return str(a) != EVIL and a in ipaddress.ip_network(NET if a.version == 4 else NET_V6)


class Attack:
    def __init__(self, label, number, title, method, kind, texts, setup, seconds=None, slow=False,
                 alone=False):
        self.label, self.number, self.title, self.method, self.kind = label, number, title, method, kind
        self.texts = [texts] if isinstance(texts, str) else texts
        self.setup, self.seconds, self.slow, self.alone = setup, seconds, slow, alone
        self.name = f"{label}.e2e.test"


def attack(number, label, title, kind, texts, **more):
    """kind: the problem's type, or several by |; "" when the name is proved all the same. texts: what the detail has.
    The setup may return a function that judges afterwards. more: method, seconds, slow, and alone, before
    the others."""
    if any(a.label == label for a in ATTACKS):
        raise ValueError(f"two attacks are called {label}")

    def keep(setup):
        ATTACKS.append(Attack(label, number, title, more.pop("method", "http-01"), kind, texts, setup, **more))
        return setup
    return keep


def serve(s, proof):
    """As it should be."""
    s.files[proof.path] = proof.key_authorization
