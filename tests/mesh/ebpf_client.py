"""An application that knows nothing: python ebpf_client.py ADDRESS PORT …

For each of them a line: what it was answered there, and the peer that it sees; then it waits for
its stdin to end.
"""

import socket
import sys


def ask(address: str, port: int) -> str:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.settimeout(30)
        try:
            sock.connect((address, port))
            sock.sendall(b"who?")
            answered = b""
            while more := sock.recv(100):
                answered += more
            peer = sock.getpeername()
        except (ConnectionRefusedError, ConnectionResetError):
            return "refused"
    return f"{answered.decode()} | {peer[0]} {peer[1]}"


for place in range(1, len(sys.argv), 2):
    sys.stdout.write(ask(sys.argv[place], int(sys.argv[place + 1])) + "\n")
    sys.stdout.flush()
sys.stdin.read()
