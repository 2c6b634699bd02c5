"""A program on a terminal, and what then stands on the screen."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios

from .waiting import wait_until


class Terminal:
    """A program on a terminal of `columns` times 24: what it has written, and keys for it."""

    def __init__(self, command, columns=100, **environment):
        self.columns = columns
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen([str(word) for word in command], stdin=slave, stdout=slave, stderr=slave, close_fds=True,
                                        env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment})
        os.close(slave)
        self.text = ""

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            try:
                part = os.read(self.master, 65536)
            except OSError:  # its end: the other side has closed
                return self.text
            if not part:
                break
            self.text += part.decode(errors="replace")
        return self.text

    def shows(self, text):
        wait_until(lambda: text in self.read(), f"{text!r} on the screen: {self.text!r}")

    def press(self, keys):
        os.write(self.master, keys.encode())

    def screen(self):
        """The lines on the terminal, of a program that goes up, erases, and writes lines."""
        lines, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[\d*[A-Za-z]|\n|\r|[^\x1b\r\n]", re.sub(r"\x1b\[[\d;]*m", "", self.read())):
            if part == "\n":
                row += 1
            elif part == "\r":
                column = 0
            elif part.endswith("A") and part.startswith("\x1b"):
                row = max(row - int(part[2:-1]), 0)
            elif part == "\x1b[J":
                lines[row:] = [lines[row][:column]]
            elif part == "\x1b[2K":
                lines[row] = ""
            else:
                if column == self.columns:
                    row, column = row + 1, 0
                lines.extend([""] * (row + 1 - len(lines)))
                lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + 1:]
                column += 1
            lines.extend([""] * (row + 1 - len(lines)))
        return lines

    def end_of_output(self):
        """Until it has ended, and all that it wrote is read."""
        wait_until(lambda: self.process.poll() is not None, f"it ends: {self.text!r}")
        self.read()

    def end(self):
        wait_until(lambda: self.read() is not None and self.process.poll() is not None, f"it ends: {self.text!r}")
        os.close(self.master)
        return self.process.returncode


