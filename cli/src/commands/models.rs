//! `listenkit models`: what is built in, and whether it works here.

use std::fmt::Write as _;

use listenkit::KernelLevel;
use listenkit::vad::VadRate;

use crate::failure::Failure;
use crate::json::Line;

/// List the built-in models and test them on this machine
///
/// Prints version, licence and checksum, and runs each model on embedded audio to see that this machine reproduces
/// its reference. Exit code 1 if one does not.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Print one JSON object per model and line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, kernel: Option<KernelLevel>) -> Result<(), Failure> {
    let mut out = String::new();
    let mut broken = Vec::new();
    for model in listenkit_models::MODELS {
        let mut lines = Vec::new();
        for rate in [VadRate::Hz16000, VadRate::Hz8000] {
            let (level, verdict) = match super::load_vad(rate, kernel) {
                Ok(vad) => (
                    vad.kernel_level().to_string(),
                    vad.self_test().map_err(|e| e.to_string()),
                ),
                Err(error) => ("none".to_string(), Err(error.to_string())),
            };
            if let Err(why) = &verdict {
                broken.push(format!("{} at {} Hz: {why}", model.name, rate.hz()));
            }
            lines.push((rate, level, verdict));
        }
        if args.json {
            for (rate, level, verdict) in lines {
                let line = Line::default()
                    .with("name", model.name)
                    .with("version", model.version)
                    .with("rate", rate.hz())
                    .with("licence", model.licence)
                    .with("sha256", model.sha256)
                    .with("origin", model.origin)
                    .with("kernel", level)
                    .with(
                        "self_test",
                        verdict.err().unwrap_or_else(|| "passed".into()),
                    );
                let _ = writeln!(out, "{line}");
            }
            continue;
        }
        let _ = writeln!(out, "{} {}", model.name, model.version);
        let _ = writeln!(out, "  licence    {} ({})", model.licence, model.copyright);
        let _ = writeln!(out, "  origin     {}", model.origin);
        let _ = writeln!(out, "  sha256     {}", model.sha256);
        for (rate, level, verdict) in lines {
            let _ = writeln!(
                out,
                "  self-test  {} Hz, kernel {level}: {}",
                rate.hz(),
                verdict.err().unwrap_or_else(|| "passed".into())
            );
        }
    }
    super::print(&out)?;
    match broken.first() {
        None => Ok(()),
        Some(what) => Err(Failure::input(what.as_str())),
    }
}
