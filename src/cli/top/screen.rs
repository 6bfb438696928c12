//! What is on the screen.

use std::collections::HashMap;

use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Text},
    widgets::{Block, Cell, Paragraph, Row, Table},
};

use crate::cluster::{ClusterView, MemberState, MemberView, PoolReport};

/// The view that was got last, with what changed since the one before.
#[derive(Default)]
pub(super) struct Screen {
    view: Option<ClusterView>,
    /// Jobs a second, by node and model.
    rates: HashMap<(String, String), f64>,
    complaint: Option<String>,
}

impl Screen {
    /// There is a new view.
    pub(super) fn show(&mut self, view: ClusterView) {
        if let Some(before) = &self.view {
            self.rates = rates(before, &view);
        }
        self.view = Some(view);
        self.complaint = None;
    }

    /// There is none.
    pub(super) fn complain(&mut self, error: String) {
        self.complaint = Some(error);
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let Some(view) = &self.view else { return };
        let pools: usize = view.members.iter().map(|m| pools(m).len()).sum();
        let warnings = self.complaint.iter().chain(&view.warnings);
        let warnings: Vec<Line<'_>> = warnings.map(|w| Line::from(w.as_str()).yellow()).collect();
        let height = |rows: usize| u16::try_from(rows + 3).unwrap_or(u16::MAX);
        let parts = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(height(view.members.len())),
            Constraint::Length(height(pools)),
            Constraint::Min(u16::from(!warnings.is_empty()) * 3),
            Constraint::Length(1),
        ]);
        let [head, members, pools, notes, foot] = parts.areas(frame.area());
        frame.render_widget(header(view), head);
        frame.render_widget(members_table(view), members);
        frame.render_widget(self.pools_table(view), pools);
        if !warnings.is_empty() {
            let block = Block::bordered().title(" warnings ");
            frame.render_widget(Paragraph::new(Text::from(warnings)).block(block), notes);
        }
        frame.render_widget(Line::from("q quits").dim(), foot);
    }

    fn pools_table(&self, view: &ClusterView) -> Table<'static> {
        let rows = view.members.iter().flat_map(|member| {
            pools(member).iter().map(|pool| {
                let key = (member.node.clone(), pool.model.clone());
                self.pool_row(&member.node, pool, self.rates.get(&key))
            })
        });
        let widths = [18, 20, 11, 16, 10, 9, 9, 9].map(Constraint::Max);
        let head = [
            "node",
            "pool",
            "actors",
            "languages",
            "backlog",
            "delay",
            "tokens/s",
            "jobs/s",
        ];
        table(" pools ", rows.collect(), &widths, head)
    }

    fn pool_row(&self, node: &str, pool: &PoolReport, rate: Option<&f64>) -> Row<'static> {
        let guests = match pool.guests {
            0 => String::new(),
            guests => format!("+{guests}"),
        };
        let held = |language: &String| match pool.paused.contains(language) {
            true => format!("({language})"),
            false => language.clone(),
        };
        let languages: Vec<_> = pool.ability.targets.iter().map(held).collect();
        let style = match pool.failing {
            true => Style::new().fg(Color::Red),
            false => Style::new(),
        };
        let cells = [
            node.to_owned(),
            pool.model.clone(),
            format!("{}/{}{guests}", pool.busy, pool.actors),
            languages.join(" "),
            format!("{} tok", pool.backlog_tokens),
            format!("{} ms", pool.delay_ms),
            format!("{:.0}", pool.tokens_per_second),
            rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")),
        ];
        Row::new(cells.map(Cell::from)).style(style)
    }
}

fn header(view: &ClusterView) -> Line<'static> {
    let lag: u64 = reports(view).map(|report| report.jobs.lag_records).sum();
    let rate: f64 = reports(view)
        .flat_map(|report| &report.pools)
        .map(|pool| pool.tokens_per_second)
        .sum();
    let (up, all) = (view.up(), view.members.len());
    let text = format!(
        "babelmesh, seen from {}: {up} of {all} nodes up, {lag} jobs unread, {rate:.0} tokens/s",
        view.node
    );
    Line::from(text).style(Style::new().add_modifier(Modifier::BOLD))
}

fn members_table(view: &ClusterView) -> Table<'static> {
    let rows = view.members.iter().map(member_row).collect();
    let widths = [16, 9, 22, 8, 8, 9, 10, 8, 9].map(Constraint::Max);
    let head = [
        "node",
        "state",
        "address",
        "uptime",
        "load",
        "memory",
        "partitions",
        "unread",
        "oldest",
    ];
    table(" nodes ", rows, &widths, head)
}

fn member_row(member: &MemberView) -> Row<'static> {
    let colour = match member.state {
        MemberState::Own | MemberState::Alive => Color::Green,
        MemberState::Suspect | MemberState::Unreached => Color::Yellow,
        MemberState::Down => Color::Red,
        MemberState::Left => Color::DarkGray,
    };
    let report = member.report.as_ref();
    let told = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let state = match report.is_some_and(|report| report.draining) {
        true => "draining".to_owned(),
        false => member.state.name().to_owned(),
    };
    let cells = [
        Cell::from(member.node.clone()),
        Cell::from(state).style(Style::new().fg(colour)),
        Cell::from(member.address.clone()),
        Cell::from(told(report.map(|r| format!("{} s", r.uptime_ms / 1_000)))),
        Cell::from(told(report.map(|r| format!("{:.1}/{}", r.load, r.cores)))),
        Cell::from(told(
            report.map(|r| format!("{:.0} MB", r.memory_bytes as f64 / 1e6)),
        )),
        Cell::from(told(report.map(|r| {
            format!("{}+{}", r.requests.partitions, r.jobs.partitions)
        }))),
        Cell::from(told(report.map(|r| r.jobs.lag_records.to_string()))),
        Cell::from(told(report.map(|r| format!("{} ms", r.jobs.oldest_age_ms)))),
    ];
    Row::new(cells)
}

fn table<const N: usize>(
    title: &'static str,
    rows: Vec<Row<'static>>,
    widths: &[Constraint; N],
    head: [&'static str; N],
) -> Table<'static> {
    let head = Row::new(head).style(Style::new().add_modifier(Modifier::BOLD));
    Table::new(rows, widths)
        .header(head)
        .block(Block::bordered().title(title))
}

fn pools(member: &MemberView) -> &[PoolReport] {
    member.report.as_ref().map_or(&[], |report| &report.pools)
}

fn reports(view: &ClusterView) -> impl Iterator<Item = &crate::cluster::NodeReport> {
    view.members.iter().filter_map(|m| m.report.as_ref())
}

/// Jobs a second between two views, from the nodes' own clocks.
fn rates(before: &ClusterView, after: &ClusterView) -> HashMap<(String, String), f64> {
    let mut rates = HashMap::new();
    for member in &after.members {
        let earlier = before.member(&member.node).and_then(|m| m.report.as_ref());
        let (Some(now), Some(earlier)) = (&member.report, earlier) else {
            continue;
        };
        let seconds = now.uptime_ms.saturating_sub(earlier.uptime_ms) as f64 / 1e3;
        for pool in &now.pools {
            let known = earlier.pools.iter().find(|p| p.model == pool.model);
            if let (Some(known), true) = (known, seconds > 0.0) {
                let jobs = pool.translated.saturating_sub(known.translated);
                let key = (member.node.clone(), pool.model.clone());
                rates.insert(key, jobs as f64 / seconds);
            }
        }
    }
    rates
}
