//! Command line of listenkit: recordings in, speech segments and turn decisions out.
//!
//! Exit codes: 0 all went well (warnings included), 1 a file or stream could not be read, understood or
//! written, 2 the command line or configuration does not make sense. Every error is one line that says what to do.

pub mod audio;
mod commands;
mod config;
mod failure;
mod json;
mod listen;
pub mod plot;
mod progress;
mod replay;
mod turns;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use failure::Failure;
use listenkit::KernelLevel;

const AFTER_HELP: &str = "\
Exit codes: 0 all went well, 1 a file could not be read or written, 2 wrong usage or configuration.
Settings for --config and --set: `listenkit config`.

  listenkit analyze call.wav                       who speaks when, and when each turn is over
  listenkit analyze call.wav --plot call.png       the same as a picture
  listenkit turn answer.wav                        how finished the speaker sounds at the end
  listenkit replay turns.jsonl --sweep             the end-of-turn policy that suits your recordings
  ffmpeg -i in.webm -f s16le -ar 16000 -ac 1 - | listenkit analyze - --rate 16000";

/// The listening half of a voice agent: audio in, speech segments and turn decisions out
#[derive(Parser, Debug)]
#[command(name = "listenkit", version, after_help = AFTER_HELP, arg_required_else_help = true)]
struct Cli {
    /// Force the instruction set (portable, neon, avx2, avx512), to repeat another machine's results
    #[arg(long, global = true, value_name = "LEVEL", value_parser = commands::kernel_level)]
    kernel: Option<KernelLevel>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Analyze(commands::analyze::Args),
    Vad(commands::vad::Args),
    Turn(commands::turn::Args),
    Replay(commands::replay::Args),
    Segment(commands::segment::Args),
    Resample(commands::resample::Args),
    Models(commands::models::Args),
    Bench(commands::bench::Args),
    /// List the settings that --config and --set understand
    Config,
}

/// Runs the program on the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        Command::Analyze(args) => commands::analyze::run(&args, cli.kernel),
        Command::Vad(args) => commands::vad::run(&args, cli.kernel),
        Command::Turn(args) => commands::turn::run(&args, cli.kernel),
        Command::Replay(args) => commands::replay::run(&args, cli.kernel),
        Command::Segment(args) => commands::segment::run(&args, cli.kernel),
        Command::Resample(args) => commands::resample::run(&args),
        Command::Models(args) => commands::models::run(&args, cli.kernel),
        Command::Bench(args) => commands::bench::run(&args, cli.kernel),
        Command::Config => commands::print(config::HELP),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::OutputClosed) {
                eprintln!("error: {failure}");
            }
            failure.exit_code()
        }
    }
}

/// Help and version as they are; anything else as one line.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let text = error.to_string();
            let what = text.split("\n\nUsage:").next().unwrap_or(&text);
            let what = what
                .split("\n\nFor more information")
                .next()
                .unwrap_or(what);
            let line = what
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .replace(" tip: ", "; ");
            let first = std::env::args().nth(1).unwrap_or_default();
            let command = match Cli::command().find_subcommand(&first) {
                Some(command) => format!("{} ", command.get_name()),
                None => String::new(),
            };
            eprintln!("{line}; see `listenkit {command}--help`");
            ExitCode::from(2)
        }
    }
}
