"""A mail server over a real socket, which answers by script."""

import base64
import socketserver
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any


@dataclass
class MailServer:
    """`answers` gives the answer to a command (EHLO, AUTH, MAIL, `RCPT a@b`, DATA, `.`); an empty one cuts the line.

    `silent`: after this command nothing is said any more. `tls`: offers STARTTLS with this context.
    """

    answers: Mapping[str, str] = field(default_factory=dict)
    silent: str | None = None
    tls: ssl.SSLContext | None = None
    mails: list[EmailMessage] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __enter__(self) -> "MailServer":
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                plain = self.connection
                self.say("220 mail.example.com")
                while (line := self.rfile.readline()) and self.answer(line.decode().strip()):
                    pass
                if self.connection is not plain:
                    self.connection.close()

            def say(self, text: str) -> None:
                self.wfile.write(text.encode() + b"\r\n")

            def answer(self, line: str) -> bool:
                command = line.split(" ")[0].upper()
                server.said.append(line)
                if command == "RCPT":
                    command = f"RCPT {line.partition('<')[2].rstrip('>')}"
                if command == server.silent:
                    self.rfile.readline()
                    return False
                usual = {
                    "EHLO": self.greeting(),
                    "QUIT": "221 bye",
                    "DATA": "354 go on",
                    "AUTH": "235 ok",
                    "STARTTLS": "220 go on",
                }
                text = server.answers.get(command, usual.get(command, "250 ok"))
                if text:
                    self.say(text)
                if command == "STARTTLS" and server.tls is not None:
                    self.wrap(server.tls)
                return bool(text) and (command != "DATA" or not text.startswith("354") or self.take())

            def greeting(self) -> str:
                offers = ["STARTTLS"] if server.tls and not isinstance(self.connection, ssl.SSLSocket) else []
                return "\r\n".join([f"250-{offer}" for offer in ("mail.example.com", *offers)] + ["250 AUTH PLAIN"])

            def wrap(self, context: ssl.SSLContext) -> None:
                self.connection = context.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)  # type: ignore[assignment]

            def take(self) -> bool:
                lines: list[bytes] = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line[1:] if line.startswith(b"..") else line)
                found: Any = BytesParser(policy=policy.default).parsebytes(b"".join(lines))
                server.mails.append(found)
                return self.answer(".")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def logins(self) -> list[str]:
        """User and password of each login."""
        words = [line.split(" ") for line in self.said if line.startswith("AUTH PLAIN ")]
        return [base64.b64decode(word[2]).decode().replace("\0", " ").strip() for word in words]
