"""Every command: its name, its options, and the function that carries it out, imported when it is called."""

from __future__ import annotations

from argparse import Namespace

from flobc.cli.options import CHAIN, GROUPS, PRESET_NAMES, read_options
from flobc.cli.parser import (
    CommandParser,
    Commands,
    add_commands,
    add_ledger_access,
    add_option,
    add_output_options,
    add_place,
    build_root,
    lazily,
)
from flobc.cli.study_commands import add_experiment, add_report, add_simulate


def execute_run(arguments: Namespace) -> int:
    """Read the options of ``flobc run`` before anything is loaded, so that a mistake is named at once."""
    arguments.given = read_options(vars(arguments))
    return lazily("run")(arguments)


def execute_up(arguments: Namespace) -> int:
    """Read the options of ``flobc up`` before anything is loaded."""
    arguments.given = read_options(vars(arguments))
    return lazily("system", "execute_up")(arguments)


def execute_genesis(arguments: Namespace) -> int:
    """Read the options of ``flobc genesis new`` before anything is loaded."""
    arguments.given = read_options(vars(arguments))
    return lazily("genesis", "execute_new")(arguments)


def execute_propose(arguments: Namespace) -> int:
    """Read the options of ``flobc succession propose`` before anything is loaded."""
    arguments.given = read_options(vars(arguments))
    return lazily("succession", "execute_propose")(arguments)


def build_parser() -> CommandParser:
    """Return the parser of the whole program."""
    root = build_root()
    commands = add_commands(root, "commands")
    add_run(commands)
    add_simulate(commands)
    add_experiment(commands)
    add_system(commands)
    add_trace(commands)
    add_scaling(commands)
    add_genesis(commands)
    add_joining(commands)
    add_ledger(commands)
    add_doctor(commands)
    add_succession(commands)
    add_looks(commands)
    add_verify(commands)
    add_export(commands)
    add_report(commands)
    add_keys(commands)
    add_data(commands)
    for name, about in (("tasks", "list the shipped tasks"), ("presets", "show what each preset sets")):
        add_output_options(commands.add(name, lazily("lists", f"execute_{name}"), about))
    return root


def add_run(commands: Commands) -> None:
    """Add ``flobc run`` with the options of the table."""
    command = commands.add("run", execute_run, "train a model among trainers and validators in this process")
    command.usage = "flobc run [OPTIONS]"
    add_run_options(command)
    group = command.add_argument_group("directory and output")
    add_option(
        group,
        command,
        "--dir",
        metavar="DIR",
        help="where the run is kept; a stopped run there goes on, a finished one may be extended with --rounds "
        "(default: a new directory in your data folder, or your same command's unfinished run)",
    )
    add_option(group, command, "--new", action="store_true", help="start anew; a run in --dir is moved aside")
    add_output_options(command)
    add_run_pages(command)


def add_run_pages(command: CommandParser) -> None:
    """Add what ``flobc run`` takes about its web pages."""
    group = command.add_argument_group("web pages")
    about = (
        "show the run as web pages while it learns; at a terminal they stay until Ctrl-C, else they end with the run"
    )
    add_option(group, command, "--web", action="store_true", help=about)
    add_option(group, command, "--web-port", metavar="PORT", help="8080 unless given; 0 for any free one")
    add_option(group, command, "--no-wait", action="store_true", help="the pages end with the run at a terminal too")


def add_run_options(command: CommandParser) -> None:
    """Add the options of the table: what is learnt, by whom, and by which rules."""
    add_option(command, command, "--preset", metavar="|".join(PRESET_NAMES), help="starting point; see flobc presets")
    for title, options in GROUPS.items():
        group = command.add_argument_group(title)
        for option in options:
            action = "append" if option.repeatable else "store"
            add_option(group, command, option.flag, metavar=option.kind.metavar, help=option.help, action=action)


def add_system(commands: Commands) -> None:
    """Add ``flobc up`` and ``flobc down``."""
    up = commands.add("up", execute_up, "start Kafka, Redis and every service of a chain on this machine")
    up.usage = "flobc up --dir DIR [OPTIONS]"
    add_run_options(up)
    add_option(up, up, "--ledgers", metavar="N", default="1", help="how many ledgers; 1 unless given")
    about = "how many trainers share a process; 1 unless given"
    add_option(up, up, "--trainers-per-process", metavar="N", default="1", help=about)
    add_option(up, up, "--no-explorer", action="store_true", help="start no explorer, the chain's web pages")
    about = "write spans below DIR/traces, for flobc trace; services that run already are left as they are"
    add_option(up, up, "--traces", action="store_true", help=about)
    down = commands.add("down", lazily("system", "execute_down"), "stop what flobc up started")
    for command in (up, down):
        add_option(command, command, "--dir", metavar="DIR", required=True, help="where the system lives")
        add_output_options(command)


def add_trace(commands: Commands) -> None:
    """Add ``flobc trace``."""
    trace = commands.add("trace", lazily("trace"), "show what became of one update, and when, in every service")
    trace.epilog = "example: flobc trace --dir chain 3f9ac2 (flobc up --traces writes what it reads)"
    trace.add_argument("update", metavar="UPDATE", help="the update's id, or its first digits")
    add_option(trace, trace, "--dir", metavar="DIR", required=True, help="where the system lives")
    add_output_options(trace)


def add_scaling(commands: Commands) -> None:
    """Add ``flobc scale`` and ``flobc load``."""
    scale = commands.add("scale", lazily("scaling", "execute_scale"), "set how many trainers or validators run")
    scale.epilog = "example: flobc scale --trainers 6 --release lab --namespace flobc"
    for role in ("trainers", "validators"):
        add_option(scale, scale, f"--{role}", metavar="N", help=f"how many {role} are to run; as before unless given")
    about = "where the successor that has so many --validators is kept, for a system of --dir"
    add_option(scale, scale, "--successor", metavar="DIR", help=about)
    about = "the chart by which a release is upgraded to a successor with so many --validators"
    add_option(scale, scale, "--chart", metavar="CHART", help=about)
    load = commands.add("load", lazily("scaling", "execute_load"), "measure mixes of trainers and validators by a plan")
    load.epilog = "example: flobc load examples/load/ratio.yaml --output load-ratio"
    load.add_argument("plan", metavar="PLAN", help="the plan's file, YAML; docs/load.md describes it")
    about = "where measurements and report are kept; the same command goes on with what is there"
    add_option(load, load, "--output", metavar="DIR", required=True, help=about)
    add_option(load, load, "--keep", action="store_true", help="keep the directories of the systems that it started")
    for flag, metavar, about in (
        (
            "--ledger",
            "ADDRESS",
            "a ledger of the release as reached from here, HOST:PORT; through the API unless given",
        ),
        ("--kafka", "ADDRESS", "its Kafka as reached from here, HOST:PORT, to look for lost updates"),
    ):
        add_option(load, load, flag, metavar=metavar, help=about)
    for command in (scale, load):
        group = command.add_argument_group("what is scaled")
        add_option(group, command, "--dir", metavar="DIR", help="a system that flobc up started on this machine")
        add_option(group, command, "--release", metavar="NAME", help="a Helm release on Kubernetes")
        group.add_argument("-n", "--namespace", metavar="NAME", default="default", help="its namespace")
        add_option(group, command, "--kubeconfig", metavar="FILE", help="how the cluster is reached; as kubectl does")
        add_option(
            group, command, "--context", metavar="NAME", help="which of its contexts; the current one unless given"
        )
        command.learn("--namespace")
        add_output_options(command)
    add_option(scale, scale, "--timeout", metavar="SECONDS", default="300", help="how long to wait; 300 unless given")


def add_genesis(commands: Commands) -> None:
    """Add ``flobc genesis new``, ``add``, ``seal`` and ``show``."""
    group = add_commands(commands.add("genesis", None, "make what a chain begins with, alone or among parties"), "what")
    new = group.add("new", execute_genesis, "write a new chain's beginning, or a draft of it; start nothing")
    new.usage = "flobc genesis new (--dir DIR | --draft FILE) [OPTIONS]"
    new.epilog = "example: flobc genesis new --draft chain.json --task digits --admission invite"
    add_run_options(new)
    add_option(new, new, "--admission", metavar="allowlist|invite|open", help="who may train; allowlist unless given")
    add_option(new, new, "--operator", metavar="KEY", help="public key that signs invitations")
    add_option(new, new, "--max-trainers", metavar="N", help="how many trainers the chain takes at most")
    add_option(new, new, "--dir", metavar="DIR", help="write genesis, first model and every node's key here")
    add_option(new, new, "--draft", metavar="FILE", help="write a draft to which each party adds its public keys")
    add = group.add("add", lazily("genesis", "execute_add"), "add public keys to a draft")
    add.epilog = "example: flobc genesis add chain.json --validator validator.pub --trainer trainer.pub"
    for role in ("validator", "trainer", "operator"):
        add_option(
            add, add, f"--{role}", metavar="KEY", action="append", help=f"a {role}'s public key: hex, or a file with it"
        )
    seal = group.add("seal", lazily("genesis", "execute_seal"), "turn a draft into a genesis; all get the same bytes")
    seal.epilog = "example: flobc genesis seal chain.json --dir chain"
    add_option(seal, seal, "--dir", metavar="DIR", required=True, help="where genesis and first model are written")
    show = group.add("show", lazily("genesis", "execute_show"), "show what a chain begins with, to compare it")
    show.epilog = "example: flobc genesis show chain"
    add_option(show, show, "--key", metavar="FILE", help="also say which member this secret key belongs to")
    for command, what in ((add, "the draft"), (seal, "the draft"), (show, "a chain's directory, genesis, or a draft")):
        command.add_argument("file", metavar="FILE", help=what)
    for command in (new, add, seal, show):
        add_output_options(command)


def add_joining(commands: Commands) -> None:
    """Add ``flobc invite`` and ``flobc join``."""
    invite = commands.add("invite", lazily("joining", "execute_invite"), "sign an invitation for new trainers")
    invite.epilog = "example: flobc invite --genesis chain --key operator --until-height 500 --out for-clinic.json"
    add_option(invite, invite, "--max-joins", metavar="N", default="1", help="how many may join by it; 1 unless given")
    add_option(
        invite, invite, "--until-height", metavar="H", required=True, help="good while the chain is below this height"
    )
    add_option(invite, invite, "--out", metavar="FILE", required=True, help="where it is written, secret included")
    join = commands.add("join", lazily("joining", "execute_join"), "ask a running chain to let a trainer in")
    join.epilog = "example: flobc join --genesis chain --invitation for-clinic.json --key trainer --kafka kafka:9092"
    add_option(join, join, "--invitation", metavar="FILE", help="what flobc invite wrote; an open chain needs none")
    add_option(join, join, "--kafka", metavar="ADDRESS", required=True, help="Kafka's address, HOST:PORT")
    add_option(join, join, "--wait", action="store_true", help="return when a block has the trainer; needs --ledger")
    add_option(join, join, "--ledger", metavar="ADDRESS", help="gRPC addresses of ledgers, HOST:PORT,HOST:PORT")
    add_option(join, join, "--timeout", metavar="SECONDS", default="600", help="how long to wait; 600 unless given")
    for command, whose in ((invite, "the operator's"), (join, "the trainer's")):
        add_option(
            command, command, "--genesis", metavar="PATH", required=True, help="the chain's genesis or directory"
        )
        add_option(command, command, "--key", metavar="FILE", required=True, help=f"{whose} secret key")
        add_output_options(command)


def add_ledger(commands: Commands) -> None:
    """Add ``flobc ledger rebuild``."""
    group = add_commands(commands.add("ledger", None, "look after a ledger's store"), "what")
    rebuild = group.add("rebuild", lazily("ledger", "execute_rebuild"), "write a ledger's store in Redis again")
    rebuild.epilog = "example: flobc ledger rebuild --from ledger-1:7100 --genesis chain --redis redis:6379"
    for flag, metavar, about in (
        ("--from", "PATH|ADDRESS", "an export, a run's or system's directory, or another ledger (HOST:PORT)"),
        ("--kafka", "ADDRESS", "instead of --from: the chain's log in Kafka; needs --validators"),
        ("--validators", "ADDRESSES", "validators that serve models, HOST:PORT,HOST:PORT"),
        ("--genesis", "PATH", "the chain's genesis or directory; a chain at rest has its own"),
    ):
        add_option(rebuild, rebuild, flag, metavar=metavar, dest=flag.strip("-") + "_given", help=about)
    add_option(rebuild, rebuild, "--redis", metavar="ADDRESS", required=True, help="where the store is, HOST:PORT")
    add_option(rebuild, rebuild, "--wipe", action="store_true", help="forget first what is there of this chain")
    add_output_options(rebuild)


def add_doctor(commands: Commands) -> None:
    """Add ``flobc doctor``."""
    doctor = commands.add("doctor", lazily("doctor"), "say what is wrong with a chain's servers and how to mend it")
    doctor.epilog = "example: flobc doctor --kafka kafka:9092 --redis redis:6379 --genesis chain"
    for flag, metavar, about in (
        ("--dir", "DIR", "what flobc up or flobc genesis made: all that it names is looked at"),
        ("--kafka", "ADDRESS", "Kafka's address, HOST:PORT"),
        ("--redis", "ADDRESS", "Redis's address, HOST:PORT"),
        ("--ledgers", "ADDRESSES", "gRPC addresses of ledgers, HOST:PORT,HOST:PORT"),
        ("--genesis", "PATH", "the chain's genesis or directory, to know its topics and validators"),
    ):
        add_option(doctor, doctor, flag, metavar=metavar, help=about)
    add_output_options(doctor)


def add_succession(commands: Commands) -> None:
    """Add ``flobc succession propose``, ``approve`` and ``assemble``."""
    group = add_commands(commands.add("succession", None, "end a chain and begin its successor"), "what")
    propose = group.add("propose", execute_propose, "write a plan: who validates and trains next, by which rules")
    propose.usage = "flobc succession propose [PATH] --out PLAN [OPTIONS]"
    add_place(propose, "the chain that ends; the newest run unless given")
    for role in ("validator", "trainer"):
        for verb, about in (("add", f"public key of a {role} that comes"), ("remove", "public key of one that goes")):
            add_option(
                propose, propose, f"--{verb}-{role}", metavar="KEY", action="append", help=f"{about}; repeatable"
            )
    rules = propose.add_argument_group("rules (as before unless given)")
    for option in CHAIN:
        add_option(rules, propose, option.flag, metavar=option.kind.metavar, help=option.help)
    approve = group.add(
        "approve", lazily("succession", "execute_approve"), "approve a plan for one validator, for ever"
    )
    approve.add_argument("plan", metavar="PLAN", help="the plan's file")
    add_option(approve, approve, "--genesis", metavar="FILE", required=True, help="genesis of the chain that ends")
    add_option(approve, approve, "--data", metavar="DIR", required=True, help="the validator's directory (FLOBC_DATA)")
    add_option(approve, approve, "--key", metavar="FILE", required=True, help="the validator's secret key")
    add_option(approve, approve, "--yes", action="store_true", help="approve it; without this the plan is only shown")
    add_option(approve, approve, "--never-sealed", action="store_true", help="it never sealed a block of this chain")
    assemble = group.add("assemble", lazily("succession", "execute_assemble"), "write the successor's genesis")
    add_place(assemble, "a copy of the chain that ends, its log included")
    add_option(assemble, assemble, "--plan", metavar="PLAN", required=True, help="the plan's file")
    add_option(
        assemble, assemble, "--approval", metavar="FILE", action="append", required=True, help="an approval; repeatable"
    )
    about = "secret key of a new member on this machine, for flobc up; repeatable"
    add_option(assemble, assemble, "--node-key", metavar="FILE", action="append", help=about)
    for command, what in ((propose, "the plan"), (approve, "the approval"), (assemble, "the successor's directory")):
        add_option(command, command, "--out", metavar="PATH", required=True, help=f"where {what} is written")
        add_output_options(command)


def add_looks(commands: Commands) -> None:
    """Add ``flobc status``, ``flobc watch``, ``flobc blocks`` and ``flobc explorer``."""
    status = commands.add("status", lazily("status", "execute_status"), "show what a chain is and how far it is")
    add_place(status)
    add_output_options(status)
    watch = commands.add("watch", lazily("watch"), "show a chain's blocks as they come")
    add_place(watch)
    add_option(watch, watch, "--until", metavar="H", help="end with this height")
    add_output_options(watch)
    blocks = commands.add("blocks", lazily("status", "execute_blocks"), "show a chain's blocks")
    add_place(blocks)
    add_option(blocks, blocks, "--from", metavar="H", dest="from_height", help="first height")
    add_option(blocks, blocks, "--to", metavar="H", dest="to_height", help="last height")
    add_option(blocks, blocks, "--height", metavar="H", help="one block, with every decision")
    add_output_options(blocks)
    explorer = commands.add("explorer", lazily("web"), "show a chain and its training as web pages, until Ctrl-C")
    explorer.epilog = "example: flobc explorer --ledger ledger-0:7100 --genesis chain"
    add_place(explorer)
    add_option(
        explorer, explorer, "--ledger", metavar="ADDRESSES", help="ledgers, HOST:PORT,HOST:PORT, the same as PATH"
    )
    add_option(explorer, explorer, "--genesis", metavar="PATH", help="with ledgers: the chain's genesis or directory")
    add_option(
        explorer,
        explorer,
        "--host",
        metavar="HOST",
        default="127.0.0.1",
        help="where to listen; this machine only unless given",
    )
    add_option(
        explorer, explorer, "--port", metavar="PORT", default="8080", help="8080 unless given; 0 for any free one"
    )
    add_output_options(explorer)
    for command in (status, watch, blocks, explorer):
        add_ledger_access(command)


def add_verify(commands: Commands) -> None:
    """Add ``flobc verify``."""
    command = commands.add("verify", lazily("verify"), "check a chain from its genesis to its head")
    add_place(command, "the run to verify; the newest unless given")
    add_option(command, command, "--full", action="store_true", help="also compute each model again from its updates")
    add_option(
        command, command, "--chain", metavar="DIGEST", help="the chain id that it must be, as its validators say"
    )
    add_ledger_access(command)
    add_option(command, command, "--parent", metavar="PATH", help="the chain (or its genesis) that it must succeed")
    add_output_options(command)


def add_export(commands: Commands) -> None:
    """Add ``flobc export model`` and ``flobc export chain``."""
    group = add_commands(commands.add("export", None, "write a model or a chain to a file"), "what")
    model = group.add("model", lazily("export", "execute_model"), "write a model as safetensors, with a manifest")
    add_option(model, model, "--height", metavar="H", help="the model of this height; the newest unless given")
    chain = group.add("chain", lazily("export", "execute_chain"), "write a chain as one file that anyone can verify")
    add_option(chain, chain, "--no-payloads", action="store_true", help="leave the updates out: small, but no --full")
    for command in (model, chain):
        add_place(command, "the run to export; the newest unless given")
        add_option(command, command, "--out", metavar="FILE", required=True, help="the file to write")
        add_option(command, command, "--force", action="store_true", help="overwrite the file")
        add_output_options(command)


def add_keys(commands: Commands) -> None:
    """Add ``flobc keys new`` and ``flobc keys show``."""
    group = add_commands(commands.add("keys", None, "make or show a node's key"), "what")
    for name, about in (("new", "make a secret key file"), ("show", "print the public key of a key file")):
        command = group.add(name, lazily("keys", f"execute_{name}"), about)
        command.add_argument("file", metavar="FILE", help="the key file")
        add_output_options(command)


def add_data(commands: Commands) -> None:
    """Add ``flobc data fetch``, ``list`` and ``split``."""
    group = add_commands(commands.add("data", None, "fetch, list and divide data sets"), "what")
    fetch = group.add("fetch", lazily("data", "execute_fetch"), "fetch a public data set and check it")
    fetch.add_argument("name", metavar="NAME", help="mnist or fashion-mnist")
    add_option(fetch, fetch, "--source", metavar="NAME", help="use this source only; see flobc data list")
    listed = group.add("list", lazily("data", "execute_list"), "list the data sets and which are here")
    split = group.add("split", lazily("data", "execute_split"), "divide a data set into one file per party")
    split.add_argument("source", metavar="FILE|TASK", help="a .npz or .csv file, or a task such as digits")
    add_option(split, split, "--parties", metavar="N", required=True, help="how many parties")
    add_option(split, split, "--out", metavar="DIR", required=True, help="a new directory")
    add_option(split, split, "--scheme", metavar="SCHEME", default="iid", help="as --sharding of flobc run")
    add_option(split, split, "--seed", metavar="N", default="0", help="of the draw; 0 unless given")
    add_option(split, split, "--label", metavar="NAME", default="label", help="the column to predict of a .csv")
    for command in (fetch, listed, split):
        add_option(command, command, "--data-dir", metavar="PATH", help="where data sets lie (also FLOBC_DATA_DIR)")
        add_output_options(command)
