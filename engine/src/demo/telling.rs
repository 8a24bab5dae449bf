//! How the demo looks on a terminal.

use std::io::{IsTerminal as _, Write};

use super::child::Gateway;
use super::world::World;
use crate::failure::Failure;

/// Widest line that is not cut.
const COLUMNS: usize = 118;

pub struct Telling<'o> {
    out: &'o mut dyn Write,
    color: bool,
    chapters: usize,
}

impl<'o> Telling<'o> {
    pub fn new(out: &'o mut dyn Write) -> Self {
        let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { out, color, chapters: 0 }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        Ok(self.out.flush()?)
    }

    pub fn title(&mut self, text: &str) -> Result<(), Failure> {
        let text = self.paint("1", text);
        self.line(&text)
    }

    /// A numbered part of the story.
    pub fn chapter(&mut self, text: &str) -> Result<(), Failure> {
        self.chapters += 1;
        let text = self.paint("1;36", &format!("\n{}. {text}", self.chapters));
        self.line(&text)
    }

    pub fn note(&mut self, text: &str) -> Result<(), Failure> {
        let text = self.paint("2", &format!("   {text}"));
        self.line(&text)
    }

    /// What somebody wants.
    pub fn wish(&mut self, text: &str) -> Result<(), Failure> {
        self.line("")?;
        let text = self.paint("1", &format!("   {text}"));
        self.line(&text)
    }

    /// A command line to paste.
    pub fn paste(&mut self, text: &str) -> Result<(), Failure> {
        let text = self.paint("33", text);
        self.line(&format!("   $ {text}"))
    }

    /// A command of this binary, with what it said.
    pub fn command(&mut self, arguments: &str, said: &str) -> Result<(), Failure> {
        self.line("")?;
        self.paste(&format!("adamant {arguments}"))?;
        for line in said.lines() {
            self.line(&format!("     {line}"))?;
        }
        Ok(())
    }

    /// A file's text.
    pub fn file(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        self.line("")?;
        self.note(name)?;
        for line in text.lines() {
            self.line(&format!("   │ {line}"))?;
        }
        Ok(())
    }

    /// An answer, and whether it is what was promised.
    pub fn answer(&mut self, good: bool, text: &str) -> Result<(), Failure> {
        let mark = if good { self.paint("1;32", "✓") } else { self.paint("1;31", "✗") };
        self.line(&format!("   {mark} {text}"))
    }

    pub fn detail(&mut self, what: &str, text: &str) -> Result<(), Failure> {
        let mut shown: String = text.chars().take(COLUMNS).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let what = self.paint("2", &format!("{what:>8}"));
        self.line(&format!("   {what}  {shown}"))
    }

    /// What can be tried while the gateway stays up.
    pub fn invitation(&mut self, world: &World, gateway: &Gateway) -> Result<(), Failure> {
        self.chapter("Your turn: the gateway stays up until Ctrl-C")?;
        let directory = world.path("");
        let port = gateway.port();
        self.line("")?;
        self.paste(&format!("cd {}", directory.display()))?;
        self.paste(&format!(
            "curl --cacert servers-ca.pem --cert agent.pem --key agent.key -H @token https://localhost:{port}/orders/7"
        ))?;
        self.paste(&format!("curl --cacert servers-ca.pem -H @api-key https://localhost:{port}/orders/7"))?;
        self.paste(&format!("curl --cacert servers-ca.pem https://localhost:{port}/status"))?;
        self.paste(&format!("curl http://{}/metrics", gateway.admin))?;
        self.paste("tail -f records.jsonl")?;
        self.line("")?;
        for (name, what) in [("token", "reports-bot's token"), ("api-key", "ci's API key")] {
            let text = world.read(name)?;
            self.note(what)?;
            self.line(&format!("     {}", text.trim_end()))?;
        }
        Ok(())
    }
}
