//! What is on the screen: a title, the nodes, the table of the chosen view, warnings and a line of help. It fits 80 columns and 24 lines.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Text},
    widgets::{Block, Cell, Clear, Paragraph, Row, Table},
};

use super::{
    rates::Rates,
    rows::{self, RowOf, Tone},
};
use crate::cluster::{ClusterView, NodeReport};

/// Lines that the nodes have at most while another table is shown, headers not counted.
const MAX_NODES: usize = 6;
/// Lines of warnings at most.
const MAX_WARNINGS: usize = 4;

/// What the main table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Tab {
    /// One line per pool
    Pools,
    /// One line per target language
    Languages,
    /// One line per node, and the links to them
    Nodes,
}

/// The order of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Backlog,
    Delay,
    Rate,
}

impl Sort {
    const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Backlog => "backlog",
            Self::Delay => "delay",
            Self::Rate => "rate",
        }
    }
}

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Show(Tab),
    NextTab,
    Sort(Sort),
    Scroll(i32),
    Help,
}

const HELP: [&str; 11] = [
    "p  pools           one line per pool",
    "l  languages       one line per target language",
    "t  nodes           one line per node, and the links to them",
    "Tab                next view",
    "n  b  d  r         sort by name, backlog, delay, rate",
    "Up Down PgUp PgDn  scroll",
    "?  h               this help",
    "q  Esc  Ctrl-C     quit",
    "",
    "ACTORS 2/3+1: 2 of 3 actors are busy, 1 borrowed from another node",
    "LANGUAGES (de): paused. PARTITIONS 4+8: of requests and of jobs",
];

/// The newest view, with what changed since the one before.
pub(super) struct Screen {
    view: Option<ClusterView>,
    rates: Rates,
    complaint: Option<String>,
    tab: Tab,
    sort: Sort,
    scroll: usize,
    help: bool,
}

impl Screen {
    pub(super) fn new(tab: Tab) -> Self {
        Self {
            view: None,
            rates: Rates::default(),
            complaint: None,
            tab,
            sort: Sort::Name,
            scroll: 0,
            help: false,
        }
    }

    /// There is a new view.
    pub(super) fn show(&mut self, view: ClusterView) {
        if let Some(before) = &self.view {
            self.rates = Rates::between(before, &view);
        }
        self.view = Some(view);
        self.complaint = None;
    }

    /// There is none.
    pub(super) fn complain(&mut self, error: String) {
        self.complaint = Some(error);
    }

    /// A key other than the one that quits was pressed.
    pub(super) fn press(&mut self, key: Key) {
        match key {
            Key::Quit => {}
            Key::Show(tab) => self.turn_to(tab),
            Key::NextTab => self.turn_to(match self.tab {
                Tab::Pools => Tab::Languages,
                Tab::Languages => Tab::Nodes,
                Tab::Nodes => Tab::Pools,
            }),
            Key::Sort(sort) => self.sort = sort,
            Key::Scroll(lines) => {
                let to = self.scroll as i64 + i64::from(lines);
                let last = self.main_rows().saturating_sub(1) as i64;
                self.scroll = usize::try_from(to.min(last)).unwrap_or(0);
            }
            Key::Help => self.help = !self.help,
        }
    }

    fn turn_to(&mut self, tab: Tab) {
        self.tab = tab;
        self.scroll = 0;
        self.help = false;
    }

    /// Rows of the main table.
    fn main_rows(&self) -> usize {
        let Some(view) = &self.view else { return 0 };
        match self.tab {
            Tab::Pools => rows::pools(view, &self.rates).len(),
            Tab::Languages => rows::languages(view, &self.rates).len(),
            Tab::Nodes => view.members.len(),
        }
    }

    /// Lines that everything needs.
    pub(super) fn height(&self) -> u16 {
        let Some(view) = &self.view else { return 1 };
        let lines = self.node_lines(view) + self.main_rows() + 1 + self.warning_lines(view) + 2;
        u16::try_from(lines).unwrap_or(u16::MAX)
    }

    /// Lines of the table of nodes, its header and the empty line under it.
    fn node_lines(&self, view: &ClusterView) -> usize {
        let rows = match self.tab {
            Tab::Nodes => view.members.len(),
            _ => view.members.len().min(MAX_NODES + 1),
        };
        rows + 2
    }

    fn warning_lines(&self, view: &ClusterView) -> usize {
        let warnings = view.warnings.len() + usize::from(self.complaint.is_some());
        warnings.min(MAX_WARNINGS)
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let Some(view) = &self.view else { return };
        let height = |lines: usize| u16::try_from(lines).unwrap_or(u16::MAX);
        let nodes = height(self.node_lines(view));
        let parts = Layout::vertical([
            Constraint::Length(1),
            match self.tab {
                Tab::Nodes => Constraint::Max(nodes.min(frame.area().height / 2)),
                _ => Constraint::Length(nodes),
            },
            Constraint::Min(3),
            Constraint::Length(height(self.warning_lines(view))),
            Constraint::Length(1),
        ]);
        let [head, nodes, main, warnings, foot] = parts.areas(frame.area());
        frame.render_widget(header(view, &self.rates), head);
        self.draw_nodes(frame, view, nodes);
        self.draw_main(frame, view, main);
        frame.render_widget(self.warnings(view), warnings);
        frame.render_widget(self.foot(), foot);
        if self.help {
            draw_help(frame);
        }
    }

    fn draw_nodes(&self, frame: &mut Frame<'_>, view: &ClusterView, area: Rect) {
        let mut rows = rows::nodes(view);
        rows::sort(&mut rows, self.sort);
        let skip = match self.tab {
            Tab::Nodes => self.scroll,
            _ => 0,
        };
        draw_table(frame, area, &rows::NODE_COLUMNS, &rows, skip);
    }

    fn draw_main(&self, frame: &mut Frame<'_>, view: &ClusterView, area: Rect) {
        match self.tab {
            Tab::Pools => {
                let mut rows = rows::pools(view, &self.rates);
                rows::sort(&mut rows, self.sort);
                draw_table(frame, area, &rows::POOL_COLUMNS, &rows, self.scroll);
            }
            Tab::Languages => {
                let mut rows = rows::languages(view, &self.rates);
                rows::sort(&mut rows, self.sort);
                draw_table(frame, area, &rows::LANGUAGE_COLUMNS, &rows, self.scroll);
            }
            Tab::Nodes => {
                let mut rows = rows::links(view);
                rows::sort(&mut rows, Sort::Name);
                draw_table(frame, area, &rows::LINK_COLUMNS, &rows, self.scroll);
            }
        }
    }

    fn warnings<'a>(&'a self, view: &'a ClusterView) -> Paragraph<'a> {
        let all: Vec<_> = self.complaint.iter().chain(&view.warnings).collect();
        let more = all.len().saturating_sub(MAX_WARNINGS);
        let shown = match more {
            0 => all.len(),
            _ => MAX_WARNINGS - 1,
        };
        let line = |warning: &&'a String| Line::from(format!("! {warning}")).yellow();
        let mut lines: Vec<_> = all.iter().take(shown).map(line).collect();
        if more > 0 {
            let rest = all.len() - shown;
            let text = format!("! and {rest} more warnings; see `babelmesh status --cluster`");
            lines.push(Line::from(text).yellow());
        }
        Paragraph::new(Text::from(lines))
    }

    fn foot(&self) -> Line<'static> {
        let view = match self.tab {
            Tab::Pools => "pools",
            Tab::Languages => "languages",
            Tab::Nodes => "nodes",
        };
        let sort = self.sort.name();
        let text =
            format!("{view}, sorted by {sort} | p pools  l languages  t nodes | ? help  q quit");
        Line::from(text).dim()
    }
}

fn header(view: &ClusterView, rates: &Rates) -> Line<'static> {
    let lag: u64 = reports(view).map(|report| report.jobs.lag_records).sum();
    let tokens: f64 = reports(view)
        .flat_map(|report| &report.pools)
        .map(|pool| pool.tokens_per_second)
        .sum();
    let jobs = rates.sum();
    let jobs = jobs.map_or_else(String::new, |jobs| format!(", {jobs:.1} jobs/s"));
    let (up, all) = (view.up(), view.members.len());
    let text = format!(
        "babelmesh, seen from {}: {up} of {all} nodes up, {lag} jobs unread, {tokens:.0} tokens/s{jobs}",
        view.node
    );
    Line::from(text).style(Style::new().add_modifier(Modifier::BOLD))
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain | Tone::Good => Style::new(),
        Tone::Warning => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red),
        Tone::Dim => Style::new().fg(Color::DarkGray),
    }
}

/// A table; the rows that do not fit are counted in its last line.
fn draw_table<const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    columns: &[(&'static str, u16); N],
    rows: &[RowOf<N>],
    skip: usize,
) {
    let aligned = |index: usize, text: String| {
        let right = columns[index].0.starts_with('>');
        let alignment = if right {
            Alignment::Right
        } else {
            Alignment::Left
        };
        Cell::from(Text::from(text).alignment(alignment))
    };
    let names = columns
        .iter()
        .map(|(name, _)| name.trim_start_matches('>').to_owned());
    let head = names.enumerate().map(|(index, name)| aligned(index, name));
    let head = Row::new(head).style(Style::new().add_modifier(Modifier::BOLD));
    let room = usize::from(area.height).saturating_sub(1);
    let skip = skip.min(rows.len().saturating_sub(room));
    let left = rows.len() - skip;
    let shown = match left > room {
        true => room.saturating_sub(1),
        false => left,
    };
    let row = |row: &RowOf<N>| {
        let cells = row.cells.iter().cloned().enumerate();
        Row::new(cells.map(|(index, text)| aligned(index, text))).style(style(row.tone))
    };
    let visible = rows.iter().skip(skip).take(shown).map(row);
    let widths = columns.map(|(_, width)| Constraint::Length(width));
    let table = Table::new(visible, widths).column_spacing(1).header(head);
    let [table_area, more] = Layout::vertical([
        Constraint::Length(u16::try_from(shown + 1).unwrap_or(u16::MAX)),
        Constraint::Min(0),
    ])
    .areas(area);
    frame.render_widget(table, table_area);
    if left > shown {
        let text = format!("… {} more", left - shown);
        frame.render_widget(Line::from(text).dim(), more);
    }
}

fn draw_help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let width = area.width.min(72);
    let height = area.height.min(HELP.len() as u16 + 2);
    let area = Rect {
        x: (area.width - width) / 2,
        y: (area.height - height) / 2,
        width,
        height,
    };
    let lines: Vec<_> = HELP.iter().map(|line| Line::from(*line)).collect();
    let block = Block::bordered().title(" help ");
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn reports(view: &ClusterView) -> impl Iterator<Item = &NodeReport> {
    view.members.iter().filter_map(|m| m.report.as_ref())
}
