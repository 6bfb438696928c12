//! `babelmesh top`

mod screen;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Args;
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{self, Event, KeyCode, KeyModifiers},
};

use super::{ConfigArgs, status::SocketArgs};
use crate::node::ask_cluster;
use screen::Screen;

/// How wide and high a single picture is.
const PICTURE: (u16, u16) = (110, 40);

#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// Print one snapshot and exit
    #[arg(long)]
    once: bool,
    /// Refresh interval, in milliseconds
    #[arg(long, default_value_t = 1_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(100..=60_000))]
    every: u64,
    #[command(flatten)]
    by: SocketArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: TopArgs) -> Result<ExitCode> {
    let socket = args.by.socket(&args.config)?;
    let mut screen = Screen::default();
    screen.show(ask_cluster(&socket)?);
    if args.once {
        write!(io::stdout(), "{}", picture(&screen)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        io::stdout().is_terminal(),
        "this is no terminal: use --once for a single picture"
    );
    // The terminal is put back as it was, after a panic too.
    let mut terminal = ratatui::try_init()?;
    let watched = watch(&args, &mut screen, |screen| {
        terminal.draw(|frame| screen.draw(frame))?;
        Ok(())
    });
    ratatui::restore();
    watched.map(|()| ExitCode::SUCCESS)
}

fn watch(
    args: &TopArgs,
    screen: &mut Screen,
    mut draw: impl FnMut(&Screen) -> Result<()>,
) -> Result<()> {
    let socket = args.by.socket(&args.config)?;
    let every = Duration::from_millis(args.every);
    loop {
        draw(screen)?;
        let next = Instant::now() + every;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if !event::poll(left)? {
                break;
            }
            match event::read()? {
                Event::Key(key) if is_end(key.code, key.modifiers) => return Ok(()),
                Event::Resize(..) => draw(screen)?,
                _ => {}
            }
        }
        match ask_cluster(&socket) {
            Ok(view) => screen.show(view),
            Err(error) => screen.complain(format!("{error:#}")),
        }
    }
}

fn is_end(code: KeyCode, modifiers: KeyModifiers) -> bool {
    match code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

/// The screen as plain text.
fn picture(screen: &Screen) -> Result<String> {
    let (width, height) = PICTURE;
    let mut terminal = Terminal::new(TestBackend::new(width, height))?;
    terminal.draw(|frame| screen.draw(frame))?;
    let buffer = terminal.backend().buffer();
    let cells = buffer.content().chunks(usize::from(width));
    let lines: Vec<String> = cells
        .map(|row| {
            let row: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
            row.trim_end().to_owned()
        })
        .collect();
    let text = lines.join("\n");
    Ok(format!("{}\n", text.trim_end()))
}

#[cfg(test)]
mod tests;
