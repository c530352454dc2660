//! The command line: what can be said, and which file answers.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::exit::Ended;
use crate::{
    check, compile, completions, demo, explain, gateway, held, key, man, plugin, prove, proxy, rule, run, sandbox, up,
    verify, version,
};

const AFTER: &str = "\
Exit codes: 0 within the ceiling, allowed or done · 1 exceeds or denied · 2 usage or invalid input ·
3 unsupported, inconclusive or no answer · 4 engines disagree · 130 interrupted.

Start with `narrowgate demo`: the whole loop on this machine, no network, no set-up.";

/// Ask for exactly the network access you lack; prove that the grant stays under the ceiling.
#[derive(Debug, Parser)]
#[command(name = "narrowgate", version, about, after_help = AFTER, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

/// Which gateway to talk to, and as whom. Accepted anywhere on the line.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Gateway")]
pub(crate) struct Remote {
    /// The gateway's address, such as http://127.0.0.1:7070
    #[arg(long, global = true, value_name = "URL", env = "NARROWGATE_GATEWAY")]
    pub(crate) gateway: Option<String>,
    /// A file that holds the bearer token of your role
    #[arg(long, global = true, value_name = "FILE", env = "NARROWGATE_TOKEN_FILE")]
    pub(crate) token_file: Option<std::path::PathBuf>,
    /// Whether the line itself names the gateway, not the environment.
    #[arg(skip)]
    pub(crate) on_line: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Demo),
    Up(up::Up),
    Gateway(gateway::Gateway),
    Proxy(proxy::Proxy),
    Run(run::Run),
    Sandbox(sandbox::Sandbox),
    Rule(rule::Rule),
    Held(held::Held),
    Key(key::Key),
    Prove(prove::Prove),
    Compile(compile::Compile),
    Check(check::Check),
    Explain(explain::Explain),
    Verify(verify::Verify),
    Plugin(plugin::Plugin),
    Completions(completions::Completions),
    Man(man::Man),
    Version(version::Version),
    #[command(hide = true)]
    DemoAgent(demo::agent::DemoAgent),
}

impl Cli {
    /// What the line says; where it says nothing that makes sense, or asks for help, this ends the program.
    pub(crate) fn read() -> Cli {
        let matches = Cli::command().get_matches();
        let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        cli.remote.on_line = is_on_line(&matches, "gateway");
        if let (Verb::Run(run), Some((_, matches))) = (&mut cli.verb, matches.subcommand()) {
            run.own_gateway = run::OF_ITS_OWN_GATEWAY.into_iter().find(|id| is_on_line(matches, id));
        }
        cli
    }

    /// Does what the line says.
    pub(crate) fn run(self) -> Ended {
        let remote = &self.remote;
        match self.verb {
            Verb::Demo(verb) => verb.run(),
            Verb::Up(verb) => verb.run(),
            Verb::Gateway(verb) => verb.run(),
            Verb::Proxy(verb) => verb.run(remote),
            Verb::Run(verb) => verb.run(remote),
            Verb::Sandbox(verb) => verb.run(remote),
            Verb::Rule(verb) => verb.run(remote),
            Verb::Held(verb) => verb.run(remote),
            Verb::Key(verb) => verb.run(remote),
            Verb::Prove(verb) => verb.run(),
            Verb::Compile(verb) => verb.run(),
            Verb::Check(verb) => verb.run(),
            Verb::Explain(verb) => verb.run(),
            Verb::Verify(verb) => verb.run(),
            Verb::Plugin(verb) => verb.run(),
            Verb::Completions(verb) => verb.run(),
            Verb::Man(verb) => verb.run(),
            Verb::Version(verb) => verb.run(),
            Verb::DemoAgent(verb) => verb.run(),
        }
    }
}

/// Neither the environment's nor a default.
fn is_on_line(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_that_are_looked_up_by_name_are_there() {
        let cli = Cli::command();
        let run = cli.find_subcommand("run").unwrap();
        for id in run::OF_ITS_OWN_GATEWAY {
            assert!(run.get_arguments().any(|argument| argument.get_id() == id), "{id}");
        }
    }
}
