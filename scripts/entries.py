# SPDX-License-Identifier: Apache-2.0
"""entries.py - what jobspec.schema and config.schema have in common: a entry, its type, its C

Read by gen_jobspec.py and gen_options.py; the types are described at the head of the schemas and
laid out in common/entry.h."""
import re
import shlex
import sys

# How each type of the schema lies in the C struct: (enum mu_entry_type, C type).
TYPES = {
    "text": ("TEXT", "char *"),
    "label": ("LABEL", "char *"),
    "path": ("PATH", "char *"),
    "name": ("NAME", "char *"),
    "texts": ("TEXTS", "struct mu_text_list "),
    "paths": ("PATHS", "struct mu_text_list "),
    "endpoints": ("ENDPOINTS", "struct mu_text_list "),
    "ports": ("PORTS", "char *"),
    "u64": ("U64", "uint64_t "),
    "i64": ("I64", "int64_t "),
    "f64": ("F64", "double "),
    "bool": ("BOOL", "bool "),
    "choice": ("CHOICE", None),
    "settings": ("SETTINGS", "struct mu_setting_list "),
}
WHOLE = ("u64", "i64")
NUMBERS = WHOLE + ("f64",)
PATH_MAX = 4095


class Wrong(Exception):
    """A mistake in a schema; its text says which."""


class Entry:
    """One setting. `path` is "section.key" or "key"; numbers hold low and high as Python numbers."""

    def __init__(self, path, words, meaning):
        self.path, self.meaning = path, meaning
        self.choices, self.also, self.flags = [], [], []
        self.low = self.high = None
        self.limit = 0
        self.prefix = self.standard = self.unit = self.example = None
        self.optional = self.required = False
        self.extra = {}
        self.read_type(words)
        self.read_rest(words)
        self.check()

    def read_type(self, words):
        self.type = words.pop(0)
        if self.type not in TYPES:
            raise Wrong(f"{self.path}: no type {self.type}")
        if self.type in ("text", "label", "texts", "paths", "endpoints", "settings"):
            self.limit = int(words.pop(0))
        elif self.type == "path":
            self.limit = PATH_MAX
        elif self.type in NUMBERS:
            self.read_range(words.pop(0))
        elif self.type == "choice":
            self.read_choices(words.pop(0).split("|"))

    def read_range(self, text):
        match = re.fullmatch(r"([^.<]+(?:\.\d+)?)(<?)\.\.(<?)(.+)", text)
        if not match:
            raise Wrong(f"{self.path}: cannot read the range {text}")
        self.low, self.high = (number(match[place], self.type) for place in (1, 4))
        if match[2]:
            self.flags.append("ABOVE")
        if match[3]:
            self.flags.append("BELOW")

    def read_choices(self, words):
        self.choices = [word for word in words if not re.search("PATH|ID", word)]
        self.prefix = next((word[:-4] for word in words if word.endswith(":PATH")), None)
        if len(self.choices) < len(words):
            self.type = "name"
            self.limit = PATH_MAX
            self.flags += [f"TAKES_{word}" for word in words if word in ("PATH", "ID")]

    def read_rest(self, words):
        while words:
            word = words.pop(0)
            if word in ("required", "optional"):
                setattr(self, word, True)
            elif word == "also":
                self.also = words.pop(0).split(",")
            elif word == "default":
                self.standard = words.pop(0)
            elif word in ("unit", "example"):
                setattr(self, word, words.pop(0))
            elif word in ("env", "as", "letter"):
                self.extra[word] = words.pop(0)
            else:
                raise Wrong(f"{self.path}: what is {word}?")
        if self.required:
            self.flags.append("REQUIRED")

    def check(self):
        if [self.required, self.optional, self.standard is not None].count(True) != 1:
            raise Wrong(f"{self.path}: say one of required, optional and default")
        if not self.meaning.endswith("."):
            raise Wrong(f"{self.path}: its sentence lacks a full stop")
        if self.standard is None and self.type in NUMBERS and self.accepts(0):
            raise Wrong(f"{self.path}: 0 means not set, so its range must leave it out")
        if self.optional and self.type in ("choice", "bool"):
            raise Wrong(f"{self.path}: a {self.type} needs a default")
        if self.standard is not None:
            if self.type in NUMBERS and not self.accepts(number(self.standard, self.type)):
                raise Wrong(f"{self.path}: its default is outside its range")
            if self.type == "choice" and self.standard not in self.choices:
                raise Wrong(f"{self.path}: its default is not a choice")
        if self.example is None:
            self.example = self.standard or (self.choices and self.choices[0]) or "..."
            if self.type in ("endpoint", "endpoints"):
                self.example = "tcp://127.0.0.1:7600"
            if self.type in NUMBERS and self.standard is None:
                self.example = str(self.low)

    def accepts(self, value):
        low = value > self.low if "ABOVE" in self.flags else value >= self.low
        return low and (value < self.high if "BELOW" in self.flags else value <= self.high)

    # --- words for people ---------------------------------------------------------------------

    def kind(self):
        """What it takes, short enough for a table."""
        if self.type in NUMBERS:
            what = "a whole number" if self.type in WHOLE else "a number"
            low = "above " if "ABOVE" in self.flags else ""
            high = "below " if "BELOW" in self.flags else ""
            return f"{what}, {low}{show(self.low)} to {high}{show(self.high)}"
        if self.type in ("choice", "name"):
            words = list(self.choices) + [f"{self.prefix}FOLDER"] * (self.prefix is not None)
            words += ["an id"] * ("TAKES_ID" in self.flags) + ["a path"] * ("TAKES_PATH" in self.flags)
            return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
        return {
            "text": f"text, at most {self.limit} bytes",
            "label": f"at most {self.limit} letters, digits, dots, _ and -",
            "path": "a path",
            "paths": f"a path, or a list of up to {self.limit}",
            "texts": f"text, or a list of up to {self.limit}",
            "endpoints": "tcp://HOST:PORT or ipc://PATH",
            "ports": "LOW-HIGH, each 1 to 65535",
            "bool": "true or false",
            "settings": f"a mapping, up to {self.limit} keys",
        }[self.type]

    def standing(self):
        """Its default, in words."""
        if self.required:
            return "required"
        return "none" if self.standard is None else self.standard

    # --- C ------------------------------------------------------------------------------------

    def c_member(self, name, enum):
        kind = TYPES[self.type][1]
        return f"{enum} {name};" if kind is None else f"{kind}{name};"

    def c_initializer(self, offset, arrays):
        """The designated initializer of a struct mu_entry; `arrays` gets lists it points to."""
        parts = [f'.path = "{self.path}"', f".type = MU_ENTRY_{TYPES[self.type][0]}"]
        if self.flags:
            parts.append(".flags = " + " | ".join(f"MU_ENTRY_{flag}" for flag in self.flags))
        parts.append(f".offset = {offset}")
        if self.type in NUMBERS:
            parts += [f".low = {c_number(self.low, self.type)}", f".high = {c_number(self.high, self.type)}"]
        if self.limit:
            parts.append(f".limit = {self.limit}")
        for name, words in ("choices", self.choices), ("also", self.also):
            if words:
                parts.append(f".{name} = {arrays.name(words)}")
        for name in ("prefix", "standard", "unit", "example", "meaning"):
            value = getattr(self, name)
            if value is not None:
                parts.append(f".{name} = {c_text(value)}")
        return "{ " + ",\n      ".join(parts) + " }"


class Arrays:
    """NULL-terminated lists of words, each written once."""

    def __init__(self):
        self.known = {}

    def name(self, words):
        return self.known.setdefault(tuple(words), f"words_{len(self.known)}")

    def lines(self):
        for words, name in self.known.items():
            yield f"static const char *const {name}[] = {{ " + ", ".join(map(c_text, words)) + ", NULL };"


def number(text, kind):
    """A schema's number: digits, a fraction, an exponent, or 2^N with an optional -1."""
    match = re.fullmatch(r"2\^(\d+)(-1)?", text)
    if match:
        return 2 ** int(match[1]) - (1 if match[2] else 0)
    try:
        return int(text) if kind in WHOLE else float(text)
    except ValueError:
        raise Wrong(f"{text} is no {kind}") from None


def show(value):
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        value = int(value)
    return repr(value)


def c_number(value, kind):
    suffix = {"u64": "u", "i64": "", "f64": ""}[kind]
    text = repr(float(value)) if kind == "f64" else f"{value}{suffix}"
    return f"{{ .{kind} = {text} }}"


def c_text(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def c_name(text):
    name = re.sub(r"[^a-z0-9]", "_", text.lower())
    return name + "_" if name in ("for", "do", "while", "if", "register") else name  # C's own words


def troff(text):
    """Text for a man page: hyphens that can be copied, nothing that reads as a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(cq")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def statements(path):
    """Yield (indented, words, number) for each line of a schema; a lone quoted sentence that follows
    a line is appended to it."""
    pending = None
    with open(path, encoding="utf-8") as file:
        for line_number, line in enumerate(file, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            words = shlex.split(text)
            if text.startswith('"') and len(words) == 1 and pending:
                pending[1].append(words[0])
                continue
            if pending:
                yield pending
            pending = (line[0] == " ", words, line_number)
    if pending:
        yield pending


def complain(path, line_number, problem):
    sys.exit(f"{path}:{line_number}: {problem}")
