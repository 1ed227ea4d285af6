"""Runs a program and keeps what goes into it and what comes out: `tee.py QUESTIONS ANSWERS COMMAND...`."""

import subprocess
import sys
import threading

questions, answers, *command = sys.argv[1:]
child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def copy(source, target, path):
    with open(path, "ab") as kept:
        for line in source:
            kept.write(line)
            kept.flush()
            target.write(line)
            target.flush()
    target.close()


threading.Thread(target=copy, args=(sys.stdin.buffer, child.stdin, questions), daemon=True).start()
copy(child.stdout, sys.stdout.buffer, answers)
sys.exit(child.wait())
