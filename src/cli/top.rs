//! `babelmesh top`

mod rates;
mod rows;
mod screen;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{self, Event, KeyCode, KeyModifiers},
};

use super::Globals;
use crate::node::ask_cluster;
use screen::{Key, Screen, Tab};

/// Width of a snapshot.
const WIDTH: u16 = 80;
/// Keys, for the help of the command.
const KEYS: &str = "Keys: p pools, l languages, t nodes and links, Tab next view, n b d r sort by name, backlog, delay or rate, \
                    arrows and PgUp/PgDn scroll, ? help, q quit";
/// Largest height of a snapshot.
const MAX_HEIGHT: u16 = 1_000;

#[derive(Debug, Args)]
#[command(after_help = KEYS)]
pub(super) struct TopArgs {
    /// Print one snapshot and exit
    #[arg(long)]
    once: bool,
    /// Refresh interval, in milliseconds
    #[arg(long, default_value_t = 1_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(100..=60_000))]
    every: u64,
    /// View to begin with
    #[arg(long, value_enum, default_value_t = Tab::Pools)]
    view: Tab,
}

pub(super) fn run(args: TopArgs, globals: &Globals) -> Result<ExitCode> {
    let socket = globals.socket()?;
    let mut screen = Screen::new(args.view);
    screen.show(globals.ask(ask_cluster)?);
    if args.once {
        write!(io::stdout(), "{}", snapshot(&screen)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !io::stdout().is_terminal() {
        bail!("standard output is not a terminal; use --once to print a snapshot");
    }
    let every = Duration::from_millis(args.every);
    // The terminal is put back as it was, after a panic too.
    let mut terminal = ratatui::try_init()?;
    let watched = watch(&socket, every, &mut screen, |screen| {
        terminal.draw(|frame| screen.draw(frame))?;
        Ok(())
    });
    ratatui::restore();
    watched.map(|()| ExitCode::SUCCESS)
}

fn watch(
    socket: &std::path::Path,
    every: Duration,
    screen: &mut Screen,
    mut draw: impl FnMut(&Screen) -> Result<()>,
) -> Result<()> {
    loop {
        draw(screen)?;
        let next = Instant::now() + every;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if !event::poll(left)? {
                break;
            }
            match event::read()? {
                Event::Key(key) if key.is_release() => {}
                Event::Key(key) => match meaning(key.code, key.modifiers) {
                    Some(Key::Quit) => return Ok(()),
                    Some(key) => {
                        screen.press(key);
                        draw(screen)?;
                    }
                    None => {}
                },
                Event::Resize(..) => draw(screen)?,
                _ => {}
            }
        }
        match ask_cluster(socket) {
            Ok(view) => screen.show(view),
            Err(error) => screen.complain(format!("{error:#}")),
        }
    }
}

/// What a key means, if anything.
fn meaning(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
    use screen::Sort;
    Some(match code {
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char('p') => Key::Show(Tab::Pools),
        KeyCode::Char('l') => Key::Show(Tab::Languages),
        KeyCode::Char('t') => Key::Show(Tab::Nodes),
        KeyCode::Tab => Key::NextTab,
        KeyCode::Char('n') => Key::Sort(Sort::Name),
        KeyCode::Char('b') => Key::Sort(Sort::Backlog),
        KeyCode::Char('d') => Key::Sort(Sort::Delay),
        KeyCode::Char('r') => Key::Sort(Sort::Rate),
        KeyCode::Char('?' | 'h') => Key::Help,
        KeyCode::Down | KeyCode::Char('j') => Key::Scroll(1),
        KeyCode::Up | KeyCode::Char('k') => Key::Scroll(-1),
        KeyCode::PageDown => Key::Scroll(10),
        KeyCode::PageUp => Key::Scroll(-10),
        _ => return None,
    })
}

/// The screen as plain text, as high as its rows need.
fn snapshot(screen: &Screen) -> Result<String> {
    picture(screen, WIDTH, screen.height().min(MAX_HEIGHT))
}

/// The screen as plain text.
fn picture(screen: &Screen, width: u16, height: u16) -> Result<String> {
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
