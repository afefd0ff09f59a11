"""Matrix products of our own: tiles in registers, shared by threads without BLAS.

What flows: `text` is a module with two functions for each kind of float, which take a context (the
`FIELDS`, as numbers of 64 bits) and the number of a chunk: ``pack`` brings `columns` of the right
matrix behind one another, for all rows, and ``multiply`` makes some rows of the result. The
invariants: any strides go; nothing outside the matrices is read or written; chunks are the same
whoever runs them, and every element is summed in one order.

A tile of 6 rows and two vectors stays in registers while its products are summed, over `DEPTH`
steps, so that what it reads of the right matrix stays in the first cache (Goto & van de Geijn
2008).
"""

from __future__ import annotations

from functools import cache
from typing import Final

from difflab.engines.native.machine import shared

FIELDS: Final = ("out", "a", "b", "packed", "m", "k", "n", "am", "ak", "bk", "bn", "cm",
                 "most")  # fmt: skip
"""Addresses; lengths of (m, k) times (k, n); strides in bytes, where out's rows are dense; and the
rows of a chunk."""
HIGH: Final = 6
"""Rows of a tile."""
ROWS: Final = 12
MANY: Final = 96
"""Rows of a chunk, of small and of large matrices: whole tiles."""
CHUNKS: Final = 16
"""Chunks that a matrix of a middle size is cut into."""
DEPTH: Final = 256
NANOSECONDS: Final = {"f32": 0.022, "f64": 0.044}
"""Of one multiplication."""
PACKING: Final = 0.4
"""Nanoseconds to bring one byte of the right matrix into order."""
TYPES: Final = {"f32": ("float", 4, 8), "f64": ("double", 8, 4)}
"""Type, bytes, and elements of a vector."""


def columns(kind: str) -> int:
    """Columns of a tile."""
    return 2 * TYPES[kind][2]


def rows(m: int) -> int:
    """Rows of a chunk, where there are so many."""
    return max(ROWS, min(m // CHUNKS // ROWS * ROWS, MANY))


@cache
def symbols() -> dict[str, int]:
    """The addresses of the functions, by their names."""
    names = [f"{what}.{kind}" for what in ("pack", "multiply") for kind in TYPES]
    library = shared(text(), {})
    return {name: library.address(name) for name in names}


def text() -> str:
    """The module."""
    return "\n".join(_functions(kind, *row) for kind, row in TYPES.items())


def _fields() -> str:
    lines = []
    for i, name in enumerate(FIELDS):
        type_ = "ptr" if i < 4 else "i64"
        lines.append(f"  %{name}.at = getelementptr i64, ptr %context, i64 {i}")
        lines.append(f"  %{name} = load {type_}, ptr %{name}.at")
    return "\n".join(lines)


def _functions(kind: str, type_: str, size: int, lanes: int) -> str:
    wide, vector = 2 * lanes, f"<{lanes} x {type_}>"
    return f"""
define void @pack.{kind}(ptr %context, i64 %chunk) {{
entry:
{_fields()}
  %first = mul i64 %chunk, {wide}
  %offset = mul i64 %first, %bn
  %from = getelementptr i8, ptr %b, i64 %offset
  %before = mul i64 %first, %k
  %into = getelementptr {type_}, ptr %packed, i64 %before
  %left = sub i64 %n, %first
  %dense = icmp eq i64 %bn, {size}
  %whole = icmp sge i64 %left, {wide}
  %quick = and i1 %dense, %whole
  br i1 %quick, label %row, label %column
row:
  %i = phi i64 [0, %entry], [%i.next, %row]
  %i.offset = mul i64 %i, %bk
  %i.from = getelementptr i8, ptr %from, i64 %i.offset
  %i.second = getelementptr {vector}, ptr %i.from, i64 1
  %low = load {vector}, ptr %i.from, align {size}
  %high = load {vector}, ptr %i.second, align {size}
  %i.place = mul i64 %i, {wide}
  %i.into = getelementptr {type_}, ptr %into, i64 %i.place
  %i.behind = getelementptr {vector}, ptr %i.into, i64 1
  store {vector} %low, ptr %i.into, align {size}
  store {vector} %high, ptr %i.behind, align {size}
  %i.next = add i64 %i, 1
  %i.more = icmp slt i64 %i.next, %k
  br i1 %i.more, label %row, label %end
column:
  %c = phi i64 [0, %entry], [%c.next, %next]
  %c.offset = mul i64 %c, %bn
  %c.from = getelementptr i8, ptr %from, i64 %c.offset
  %c.into = getelementptr {type_}, ptr %into, i64 %c
  %there = icmp slt i64 %c, %left
  br label %element
element:
  %r = phi i64 [0, %column], [%r.next, %put]
  br i1 %there, label %read, label %put
read:
  %r.offset = mul i64 %r, %bk
  %r.from = getelementptr i8, ptr %c.from, i64 %r.offset
  %x = load {type_}, ptr %r.from, align {size}
  br label %put
put:
  %y = phi {type_} [0.0, %element], [%x, %read]
  %r.place = mul i64 %r, {wide}
  %r.into = getelementptr {type_}, ptr %c.into, i64 %r.place
  store {type_} %y, ptr %r.into, align {size}
  %r.next = add i64 %r, 1
  %r.more = icmp slt i64 %r.next, %k
  br i1 %r.more, label %element, label %next
next:
  %c.next = add i64 %c, 1
  %c.more = icmp slt i64 %c.next, {wide}
  br i1 %c.more, label %column, label %end
end:
  ret void
}}

define void @multiply.{kind}(ptr %context, i64 %chunk) {{
entry:
{_fields()}
  %mine = alloca [{MANY * DEPTH} x {type_}], align 64
  %top = mul i64 %chunk, %most
  %left = sub i64 %m, %top
  %few = icmp slt i64 %left, %most
  %rows = select i1 %few, i64 %left, i64 %most
  %a.offset = mul i64 %top, %am
  %a.top = getelementptr i8, ptr %a, i64 %a.offset
  %c.offset = mul i64 %top, %cm
  %c.top = getelementptr i8, ptr %out, i64 %c.offset
  %dense = icmp eq i64 %ak, {size}
  %across = icmp eq i64 %am, {size}
  %step = select i1 %dense, i64 %am, i64 {size}
  %along = select i1 %dense, i64 {size}, i64 {HIGH * size}
  %tile = mul i64 %am, {HIGH}
  %down = select i1 %dense, i64 %tile, i64 {HIGH * DEPTH * size}
  br label %depth
depth:
  %d = phi i64 [0, %entry], [%d.next, %depth.end]
  %d.left = sub i64 %k, %d
  %d.few = icmp slt i64 %d.left, {DEPTH}
  %deep = select i1 %d.few, i64 %d.left, i64 {DEPTH}
  %begun = icmp ne i64 %d, 0
  %d.offset = mul i64 %d, %ak
  %a.there = getelementptr i8, ptr %a.top, i64 %d.offset
  %a.here = select i1 %dense, ptr %a.there, ptr %mine
  br i1 %dense, label %panels, label %copy
copy:
  %s = phi i64 [0, %depth], [%s.next, %copy.end]
  %s.offset = mul i64 %s, %am
  %s.from = getelementptr i8, ptr %a.there, i64 %s.offset
  %s.tile = udiv i64 %s, {HIGH}
  %s.row = urem i64 %s, {HIGH}
  %s.place = mul i64 %s.tile, {HIGH * DEPTH}
  %s.at = add i64 %s.place, %s.row
  %s.into = getelementptr {type_}, ptr %mine, i64 %s.at
  %s.left = sub i64 %rows, %s
  %many = icmp sge i64 %s.left, {ROWS}
  %quick = and i1 %across, %many
  br i1 %quick, label %line, label %one
line:
  %l = phi i64 [0, %copy], [%l.next, %line]
  %l.offset = mul i64 %l, %ak
  %l.from = getelementptr i8, ptr %s.from, i64 %l.offset
  %l.place = mul i64 %l, {HIGH}
  %l.into = getelementptr {type_}, ptr %s.into, i64 %l.place
{_line(type_, size)}
  %l.next = add i64 %l, 1
  %l.more = icmp slt i64 %l.next, %deep
  br i1 %l.more, label %line, label %copy.end
one:
  %t = phi i64 [0, %copy], [%t.next, %one]
  %t.offset = mul i64 %t, %ak
  %t.from = getelementptr i8, ptr %s.from, i64 %t.offset
  %t.place = mul i64 %t, {HIGH}
  %t.into = getelementptr {type_}, ptr %s.into, i64 %t.place
  %x = load {type_}, ptr %t.from, align {size}
  store {type_} %x, ptr %t.into, align {size}
  %t.next = add i64 %t, 1
  %t.more = icmp slt i64 %t.next, %deep
  br i1 %t.more, label %one, label %copy.end
copy.end:
  %s.step = phi i64 [{ROWS}, %line], [1, %one]
  %s.next = add i64 %s, %s.step
  %s.more = icmp slt i64 %s.next, %rows
  br i1 %s.more, label %copy, label %panels
panels:
  br label %panel
panel:
  %j = phi i64 [0, %panels], [%j.next, %panel.end]
  %j.left = sub i64 %n, %j
  %j.few = icmp slt i64 %j.left, {wide}
  %breadth = select i1 %j.few, i64 %j.left, i64 {wide}
  %j.before = mul i64 %j, %k
  %j.deep = mul i64 %d, {wide}
  %j.place = add i64 %j.before, %j.deep
  %b.here = getelementptr {type_}, ptr %packed, i64 %j.place
  %c.there = getelementptr {type_}, ptr %c.top, i64 %j
  br label %tiles
tiles:
  %i = phi i64 [0, %panel], [%i.next, %tiles]
  %a.tile = phi ptr [%a.here, %panel], [%a.next, %tiles]
  %i.left = sub i64 %rows, %i
  %i.few = icmp slt i64 %i.left, {HIGH}
  %height = select i1 %i.few, i64 %i.left, i64 {HIGH}
  %i.offset = mul i64 %i, %cm
  %c.here = getelementptr i8, ptr %c.there, i64 %i.offset
  call void @tile.{kind}(ptr %a.tile, i64 %step, i64 %along, ptr %b.here, i64 %deep,
    ptr %c.here, i64 %cm, i64 %height, i64 %breadth, i1 %begun)
  %a.next = getelementptr i8, ptr %a.tile, i64 %down
  %i.next = add i64 %i, {HIGH}
  %i.more = icmp slt i64 %i.next, %rows
  br i1 %i.more, label %tiles, label %panel.end
panel.end:
  %j.next = add i64 %j, {wide}
  %j.more = icmp slt i64 %j.next, %n
  br i1 %j.more, label %panel, label %depth.end
depth.end:
  %d.next = add i64 %d, {DEPTH}
  %d.more = icmp slt i64 %d.next, %k
  br i1 %d.more, label %depth, label %end
end:
  ret void
}}
{_tile(kind, type_, size, lanes)}
"""


def _line(type_: str, size: int) -> str:
    """One element of every row, which lie behind one another, into their tiles."""
    lines = []
    for tile in range(ROWS // HIGH):
        for part, count in ((0, 4), (4, HIGH - 4)):
            name, vector = f"%l.{tile}.{part}", f"<{count} x {type_}>"
            there, here = tile * HIGH + part, tile * HIGH * DEPTH + part
            lines += [
                f"  {name}.from = getelementptr {type_}, ptr %l.from, i64 {there}",
                f"  {name}.into = getelementptr {type_}, ptr %l.into, i64 {here}",
                f"  {name} = load {vector}, ptr {name}.from, align {size}",
                f"  store {vector} {name}, ptr {name}.into, align {size}",
            ]
    return "\n".join(lines)


def _tile(kind: str, type_: str, size: int, lanes: int) -> str:
    """One tile: its rows beyond the height are the last one again, and not stored."""
    vector, both = f"<{lanes} x {type_}>", range(2)
    every = [(r, h) for r in range(HIGH) for h in both]
    lines = [
        f"declare {vector} @llvm.fma.v{lanes}{kind}({vector}, {vector}, {vector})",
        f"define internal void @tile.{kind}(ptr %a, i64 %step, i64 %along, ptr %b, i64 %deep,"
        " ptr %c, i64 %cm, i64 %height, i64 %breadth, i1 %begun) noinline {",
        "entry:",
        f"  %tile = alloca [{HIGH * 2 * lanes} x {type_}], align 64",
        "  %last = sub i64 %height, 1",
    ]
    for r in range(HIGH):
        lines += [
            f"  %in.{r} = icmp slt i64 {r}, %height",
            f"  %row.{r} = select i1 %in.{r}, i64 {r}, i64 %last",
            f"  %off.{r} = mul i64 %row.{r}, %step",
            f"  %a.{r} = getelementptr i8, ptr %a, i64 %off.{r}",
        ]
    lines += [
        "  br label %loop",
        "loop:",
        "  %t = phi i64 [0, %entry], [%t.next, %loop]",
        "  %at = phi i64 [0, %entry], [%at.next, %loop]",
        "  %bt = phi ptr [%b, %entry], [%bt.next, %loop]",
    ]
    lines += [
        f"  %s.{r}.{h} = phi {vector} [zeroinitializer, %entry], [%n.{r}.{h}, %loop]"
        for r, h in every
    ]
    for h in both:
        lines.append(f"  %b.{h}.p = getelementptr {vector}, ptr %bt, i64 {h}")
        lines.append(f"  %b.{h} = load {vector}, ptr %b.{h}.p, align {size}")
    for r in range(HIGH):
        lines += [
            f"  %x.{r}.p = getelementptr i8, ptr %a.{r}, i64 %at",
            f"  %x.{r}.s = load {type_}, ptr %x.{r}.p, align {size}",
            f"  %x.{r}.i = insertelement {vector} poison, {type_} %x.{r}.s, i64 0",
            f"  %x.{r} = shufflevector {vector} %x.{r}.i, {vector} poison,"
            f" <{lanes} x i32> zeroinitializer",
        ]
        lines += [
            f"  %n.{r}.{h} = call {vector} @llvm.fma.v{lanes}{kind}({vector} %x.{r},"
            f" {vector} %b.{h}, {vector} %s.{r}.{h})"
            for h in both
        ]
    lines += [
        "  %t.next = add i64 %t, 1",
        "  %at.next = add i64 %at, %along",
        f"  %bt.next = getelementptr {vector}, ptr %bt, i64 2",
        "  %more = icmp slt i64 %t.next, %deep",
        "  br i1 %more, label %loop, label %stores",
        "stores:",
        f"  %high = icmp eq i64 %height, {HIGH}",
        f"  %broad = icmp eq i64 %breadth, {2 * lanes}",
        "  %whole = and i1 %high, %broad",
        "  br i1 %whole, label %full, label %part",
        "full:",
    ]
    for r, h in every:
        lines += [
            f"  %c.{r}.{h}.o = mul i64 %cm, {r}",
            f"  %c.{r}.{h}.r = getelementptr i8, ptr %c, i64 %c.{r}.{h}.o",
            f"  %c.{r}.{h} = getelementptr {vector}, ptr %c.{r}.{h}.r, i64 {h}",
        ]
    lines += ["  br i1 %begun, label %add, label %set", "set:"]
    lines += [f"  store {vector} %n.{r}.{h}, ptr %c.{r}.{h}, align {size}" for r, h in every]
    lines += ["  ret void", "add:"]
    for r, h in every:
        lines += [
            f"  %o.{r}.{h} = load {vector}, ptr %c.{r}.{h}, align {size}",
            f"  %p.{r}.{h} = fadd {vector} %o.{r}.{h}, %n.{r}.{h}",
            f"  store {vector} %p.{r}.{h}, ptr %c.{r}.{h}, align {size}",
        ]
    lines += ["  ret void", "part:"]
    for r, h in every:
        lines += [
            f"  %l.{r}.{h} = getelementptr {vector}, ptr %tile, i64 {2 * r + h}",
            f"  store {vector} %n.{r}.{h}, ptr %l.{r}.{h}, align {size}",
        ]
    lines.append(f"""  br label %row
row:
  %r = phi i64 [0, %part], [%r.next, %row.end]
  %r.place = mul i64 %r, {2 * lanes}
  %r.from = getelementptr {type_}, ptr %tile, i64 %r.place
  %r.offset = mul i64 %r, %cm
  %r.into = getelementptr i8, ptr %c, i64 %r.offset
  br label %element
element:
  %e = phi i64 [0, %row], [%e.next, %put]
  %e.from = getelementptr {type_}, ptr %r.from, i64 %e
  %e.into = getelementptr {type_}, ptr %r.into, i64 %e
  %new = load {type_}, ptr %e.from, align {size}
  br i1 %begun, label %more.of.it, label %put
more.of.it:
  %old = load {type_}, ptr %e.into, align {size}
  %sum = fadd {type_} %old, %new
  br label %put
put:
  %value = phi {type_} [%new, %element], [%sum, %more.of.it]
  store {type_} %value, ptr %e.into, align {size}
  %e.next = add i64 %e, 1
  %e.more = icmp slt i64 %e.next, %breadth
  br i1 %e.more, label %element, label %row.end
row.end:
  %r.next = add i64 %r, 1
  %r.more = icmp slt i64 %r.next, %height
  br i1 %r.more, label %row, label %end
end:
  ret void
}}""")
    return "\n".join(lines)
