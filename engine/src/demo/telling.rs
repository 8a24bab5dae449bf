//! How the demo looks on a terminal.

use std::io::{IsTerminal as _, Write};

use super::child::Gateway;
use super::world::World;
use crate::failure::Failure;
use crate::terminal;

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

    /// A line whose middle is in a colour: the colour alone goes past what makes text safe.
    fn painted(&mut self, before: &str, code: &str, text: &str, after: &str) -> Result<(), Failure> {
        self.out.write_all(before.as_bytes())?;
        if self.color {
            terminal::raw(self.out, format!("\x1b[{code}m").as_bytes())?;
        }
        self.out.write_all(text.as_bytes())?;
        if self.color {
            terminal::raw(self.out, b"\x1b[0m")?;
        }
        self.line(after)
    }

    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        Ok(self.out.flush()?)
    }

    pub fn title(&mut self, text: &str) -> Result<(), Failure> {
        self.painted("", "1", text, "")
    }

    /// A numbered part of the story.
    pub fn chapter(&mut self, text: &str) -> Result<(), Failure> {
        self.chapters += 1;
        let text = format!("\n{}. {text}", self.chapters);
        self.painted("", "1;36", &text, "")
    }

    pub fn note(&mut self, text: &str) -> Result<(), Failure> {
        self.painted("   ", "2", text, "")
    }

    /// What somebody wants.
    pub fn wish(&mut self, text: &str) -> Result<(), Failure> {
        self.line("")?;
        self.painted("   ", "1", text, "")
    }

    /// A command line to paste.
    pub fn paste(&mut self, text: &str) -> Result<(), Failure> {
        self.painted("   $ ", "33", text, "")
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
        let (code, mark) = if good { ("1;32", "✓") } else { ("1;31", "✗") };
        self.painted("   ", code, mark, &format!(" {text}"))
    }

    pub fn detail(&mut self, what: &str, text: &str) -> Result<(), Failure> {
        let mut shown: String = text.chars().take(COLUMNS).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        self.painted("   ", "2", &format!("{what:>8}"), &format!("  {shown}"))
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
