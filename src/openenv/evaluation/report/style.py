"""The style sheet of the HTML report: readable in light and dark, on paper too."""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #5d6670; --line: #d9dee3; --panel: #f5f7f9;
  --good: #1a7f45; --bad: #b42318; --odd: #9a6700;
  --s0: #2f6fdb; --s1: #d9822b; --s2: #2a9d6f; --s3: #a259c4; --s4: #c2405b; --s5: #5f7f94; --s6: #8a7a2f; --s7: #3aa0b5; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e6e9ec; --soft: #9aa4ae; --line: #343b42; --panel:
  #1d2226;
  --good: #4cc38a; --bad: #ff8a7a; --odd: #e3b341;
  --s0: #6ea1f5; --s1: #f0a35c; --s2: #52c795; --s3: #c58be0; --s4: #ee7f95; --s5: #93b1c4; --s6: #c9b866; --s7: #6fcadc; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.2rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
p, dl { margin: .4rem 0; } .muted, .legend, dt { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid
  var(--line); }
th { color: var(--soft); font-weight: 600; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
.notice { border-left: 4px solid var(--odd); background: var(--panel); padding: .6rem 1rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .odd { color: var(--odd); }
.chart { width: 100%; height: auto; } .chart text { fill: var(--ink); font-size: 12px; } .chart text.muted { fill:
  var(--soft); }
.chart text.inside { fill: var(--paper); font-weight: 600; } .grid { stroke: var(--line); } .whisker { stroke: var(--ink);
  stroke-width: 1.2; }
.fill.s0 { fill: var(--s0); } .fill.s1 { fill: var(--s1); } .fill.s2 { fill: var(--s2); } .fill.s3 { fill: var(--s3); }
.fill.s4 { fill: var(--s4); } .fill.s5 { fill: var(--s5); } .fill.s6 { fill: var(--s6); } .fill.s7 { fill: var(--s7); }
.series { margin-right: 1.2rem; } .key { display: inline-block; width: .8em; height: .8em; margin-right: .4em;
  border-radius: 2px; }
.key.s0 { background: var(--s0); } .key.s1 { background: var(--s1); } .key.s2 { background: var(--s2); } .key.s3 {
  background: var(--s3); }
.key.s4 { background: var(--s4); } .key.s5 { background: var(--s5); } .key.s6 { background: var(--s6); } .key.s7 {
  background: var(--s7); }
details { border-bottom: 1px solid var(--line); padding: .35rem 0; } details > div { padding: .2rem 0 .8rem 1.2rem; }
summary { cursor: pointer; } summary .tag { margin-left: .6rem; font-size: .85em; color: var(--soft); }
pre { background: var(--panel); padding: .5rem .8rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere;
  margin: .2rem 0 .6rem;
  font: 12.5px/1.45 ui-monospace, monospace; max-height: 24rem; }
@media print { details > div { display: block; } body { max-width: none; } }
"""
