//! `adamant tune plan` and `check`: where workers should stand, and how far the machine is from what they need.

use std::io::Write;

use serde_json::json;
use tuning::choice::{self, Choice, Wish};
use tuning::finding::findings;
use tuning::read::write_list;
use tuning::script;

use super::{CheckArgs, PlanArgs, PlanFormat, machine, profile, settings_for, write_settings};
use crate::config::Config;
use crate::failure::Failure;

pub fn run(args: &PlanArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let machine = machine()?;
    let profile = profile(&args.wishes.profile)?;
    let wish = args.wishes.wish(&profile);
    let choice = choice::choose(&machine, &wish).map_err(Failure::new)?;
    let settings = settings_for(&machine, &choice.workers, &wish, &profile)?;
    match args.format {
        PlanFormat::Json => writeln!(out, "{:#}", json!({ "choice": choice, "settings": settings }))?,
        PlanFormat::Toml => write_toml(out, &choice)?,
        PlanFormat::Script => out.write_all(script::script(&settings).as_bytes())?,
        PlanFormat::Text => {
            writeln!(out, "In gateway.toml:\n")?;
            write_toml(out, &choice)?;
            writeln!(out)?;
            write_settings(out, &settings)?;
        }
    }
    Ok(())
}

fn write_toml(out: &mut dyn Write, choice: &Choice) -> Result<(), Failure> {
    writeln!(out, "[workers]")?;
    for reason in &choice.reasons {
        writeln!(out, "# {reason}")?;
    }
    writeln!(out, "# everything else: processors {}", write_list(&choice.control))?;
    if !choice.idle.is_empty() {
        writeln!(out, "# siblings of workers, best left idle: processors {}", write_list(&choice.idle))?;
    }
    writeln!(out, "cores = \"{}\"", write_list(&choice.workers))?;
    Ok(())
}

pub fn check(args: &CheckArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(Failure::new)?;
    let machine = machine()?;
    let wish = Wish { nic: args.nic.clone(), ..Wish::default() };
    let mut problems = 0;
    for core in config.cores.iter().filter(|core| !machine.allowed.contains(core)) {
        writeln!(out, "  worker on processor {core}: this process may not use it, or it is not online")?;
        problems += 1;
    }
    let nics = choice::nics(&machine, &wish).map_err(Failure::new)?;
    for finding in findings(&machine, &config.cores, &nics) {
        writeln!(out, "  {finding}")?;
        problems += 1;
    }
    problems += write_settings(out, &settings_for(&machine, &config.cores, &wish, &profile(&args.profile)?)?)?;
    match problems {
        0 => Ok(()),
        count => Err(Failure::new(format_args!("{count} differ from what these workers need"))
            .help("adamant tune plan says more; adamant tune apply sets what it can")),
    }
}
