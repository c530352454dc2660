"""cvc5's Python library as a solver: SMT-LIB commands on standard input, answers on standard output.

Flags are the `--name` and `--name=value` that the cvc5 program takes. It ends with its input.
"""
import sys

import cvc5


def commands(stream):
    """Whole commands, as they arrive."""
    text, depth, mode = [], 0, ""
    for line in stream:
        start = 0
        for at, char in enumerate(line):
            if mode == ";":
                break
            if mode:
                if char == mode:
                    mode = ""
            elif char in '"|':
                mode = char
            elif char == ";":
                text.append(line[start:at])
                start = len(line)
                mode = ";"
            elif char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
                if depth == 0:
                    text.append(line[start : at + 1])
                    start = at + 1
                    yield "".join(text).strip()
                    text = []
        if mode == ";":
            mode = ""
        text.append(line[start:])


class Session:
    """A solver, its symbols and its parser, which `(reset)` makes anew."""

    def __init__(self, options):
        self.options = options
        self.reset()

    def reset(self):
        self.manager = cvc5.TermManager()
        self.solver = cvc5.Solver(self.manager)
        for name, value in self.options:
            self.solver.setOption(name, value)
        self.symbols = cvc5.SymbolManager(self.manager)
        self.parser = cvc5.InputParser(self.solver, self.symbols)

    def run(self, text):
        if text == "(reset)":
            self.reset()
            return ""
        self.parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "stdin")
        out = ""
        while True:
            command = self.parser.nextCommand()
            if command.isNull():
                return out
            out += str(command.invoke(self.solver, self.symbols))


def main():
    options = [("incremental", "false")]
    for flag in sys.argv[1:]:
        name, _, value = flag.lstrip("-").partition("=")
        options.append((name, value or "true"))
    session = Session(options)
    for text in commands(sys.stdin):
        if text == "(exit)":
            return
        try:
            out = session.run(text)
        except Exception as error:
            message = str(error).replace('"', '""')
            out = f'(error "{message}")\n'
        if out:
            sys.stdout.write(out)
            sys.stdout.flush()


main()
