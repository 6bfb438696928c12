//! Calls to other nodes.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, anyhow, bail, ensure};
use babelmesh_actors::{
    detect::detect,
    domain::{ErrorCode, Language, Leg, TranslationRequest, TranslationResult},
    remote_nodes::{CandidateNodes, RemoteCapabilities},
    routing::Capability,
};
use babelmesh_telemetry::{
    events::NodeEvent,
    status::{MemberState, MemberView},
    traces::forwarded_to,
};
use ractor::rpc::CallResult;
use tracing::Instrument as _;

use super::{
    Cluster,
    command::{Action, Command, CommandDone},
    message::{self, Answer, Ask, AskEnvelope, GatewayMessage},
    node_selection::{Candidates, Requirements, candidates},
};

/// Nodes that a request is tried on.
const TRIES: usize = 2;

/// Longest time for another node to load or unload a model; a client of the status socket waits a little longer.
const SLOW_COMMAND: Duration = Duration::from_secs(55);

impl Cluster {
    /// Translates a request with one target on `node`, or on the node with the shortest expected completion time, this one included; if that fails,
    /// on one other. `parent` is the caller's `traceparent`.
    ///
    /// # Errors
    /// When no node has a model for it, or none answers in time.
    pub async fn translate(
        &self,
        request: TranslationRequest,
        node: Option<&str>,
        parent: Option<&str>,
    ) -> Result<TranslationResult> {
        let forwarding = self.forward(request, node);
        match self.traces.forward(parent) {
            Some(span) => forwarding.instrument(span).await,
            None => forwarding.await,
        }
    }

    async fn forward(
        &self,
        request: TranslationRequest,
        node: Option<&str>,
    ) -> Result<TranslationResult> {
        let nodes = match node {
            Some(node) => vec![node.to_owned()],
            None => self.able(&request)?.nodes,
        };
        self.try_each(nodes, request).await
    }

    /// The nodes that can translate a request, the best one first.
    #[must_use]
    pub fn candidate_nodes(&self, request: &TranslationRequest) -> CandidateNodes {
        let Candidates { nodes, working } = self.able(request).unwrap_or_default();
        CandidateNodes::new(nodes, working, self.shared.me().name.clone())
    }

    /// Like [`Cluster::translate`], on these nodes and as a part of the current trace; `None` if there are no nodes.
    pub async fn translate_among(
        &self,
        request: TranslationRequest,
        nodes: CandidateNodes,
    ) -> Option<Result<TranslationResult>> {
        let nodes = nodes.into_names();
        if nodes.is_empty() {
            return None;
        }
        let trying = self.try_each(nodes, request);
        let current = self.traces.current().map(|span| span.to_string());
        let span = current.and_then(|parent| self.traces.forward(Some(&parent)));
        Some(match span {
            Some(span) => trying.instrument(span).await,
            None => trying.await,
        })
    }

    /// What the pools of all nodes that take work can do, this one's included.
    #[must_use]
    pub fn capabilities(&self) -> Vec<Capability> {
        self.shared.node_snapshot().capabilities.clone()
    }

    async fn try_each(
        &self,
        nodes: Vec<String>,
        request: TranslationRequest,
    ) -> Result<TranslationResult> {
        let within = match request.deadline_ms {
            Some(deadline) => self.call_timeout.min(Duration::from_millis(deadline)),
            None => self.call_timeout,
        };
        let request = serde_json::to_vec(&request)?;
        let mut last = anyhow!("no node was tried");
        let mut refused = None;
        for node in nodes.iter().take(TRIES) {
            match self.translate_at(node, request.clone(), within).await {
                Ok(result) if !is_worth_another(&result) => return Ok(result),
                Ok(result) => {
                    let error = result.error.as_ref().map_or("", |error| &error.message);
                    last = anyhow!("{node} cannot translate it now: {error}");
                    // If this node has no suitable model, another may; if none has, the sender gets an error.
                    let is_lacking = result.error.as_ref().is_some_and(|e| !e.retriable);
                    refused = is_lacking.then_some(result);
                }
                Err(error) => last = error,
            }
            NodeEvent::ForwardFailed {
                node,
                error: &format!("{last:#}"),
            }
            .emit();
        }
        refused.ok_or(last)
    }

    /// Executes a command on a node, this one or another.
    ///
    /// # Errors
    /// When there is no connection to it, it does not answer in time, or it cannot do it.
    pub async fn command(&self, command: Command) -> Result<CommandDone> {
        let me = self.shared.me().name.clone();
        if command.node == me {
            return self
                .host
                .command(command, &me)
                .await
                .map_err(|e| anyhow!(e));
        }
        let Command { id, node, action } = &command;
        let (id, node, within) = (id.clone(), node.clone(), self.patience_with(action));
        let members = self.view().members;
        if let Some(unknown) = unreachable(&node, &members) {
            bail!(unknown);
        }
        match self.ask(&node, Ask::Command(command), within).await {
            Ok(Answer::Done(done)) => Ok(done),
            Ok(other) => bail!("{node}: {}", reason(other)),
            Err(error) => Err(error).context(format!(
                "the command may still be executed: repeat it with --id {id} to see its outcome"
            )),
        }
    }

    /// Timeout of a command on another node; loading and unloading models takes longer.
    fn patience_with(&self, action: &Action) -> Duration {
        match action {
            Action::Load { .. } | Action::Unload { .. } | Action::Reload { .. } => {
                self.call_timeout.max(SLOW_COMMAND)
            }
            _ => self.call_timeout,
        }
    }

    fn able(&self, request: &TranslationRequest) -> Result<Candidates> {
        let mut targets = request.targets();
        let target = targets.next().context("the request names no target")?;
        ensure!(
            targets.next().is_none(),
            "the request names more than one target"
        );
        let target: Language = target.parse()?;
        let source = match request.source_language.as_str() {
            tag if tag.eq_ignore_ascii_case("auto") => self.detected(request, target),
            tag => Some(tag.parse::<Language>()?),
        };
        // A text in the target language needs no model.
        let source = source.filter(|source| *source != target);
        let need = Requirements {
            source: source.map(|source| source.to_string()),
            target: target.to_string(),
            tier: request.model_type,
            nearer_than: None,
        };
        let able = candidates(&self.shared.node_snapshot().members, &need);
        ensure!(
            !able.nodes.is_empty(),
            "no node in the cluster supports {target}"
        );
        Ok(able)
    }

    /// The language of a text, where nodes differ in what they read; none where any of them will do.
    fn detected(&self, request: &TranslationRequest, target: Language) -> Option<Language> {
        let node_snapshot = self.shared.node_snapshot();
        let capabilities = &node_snapshot.capabilities;
        let all = capabilities.iter().flat_map(|ability| &ability.sources);
        let sources: BTreeSet<Language> = all.copied().collect();
        let mut writing = capabilities.iter().filter(|a| a.targets.contains(&target));
        let read_all = |a: &Capability| sources.iter().all(|source| a.sources.contains(source));
        if writing.all(read_all) {
            return None;
        }
        let sources: Vec<_> = sources.into_iter().collect();
        let found = detect(&request.text, request.format, &sources, target)?.candidate()?;
        Some(found.language)
    }

    /// Capabilities of other nodes, now and later.
    pub(super) fn remote_capabilities(&self) -> RemoteCapabilities {
        let node_snapshot = self.shared.node_snapshot();
        let others: Vec<_> = node_snapshot
            .members
            .iter()
            .filter(|member| member.state != MemberState::Own)
            .collect();
        let membership_table = self.shared.membership_table();
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for member in &others {
            let report = member.report.as_ref();
            let works = member.state.is_up() && member.linked;
            let Some(report) = report.filter(|report| works && !report.draining) else {
                later.extend_from_slice(membership_table.capabilities_of(&member.node));
                continue;
            };
            for pool in &report.pools {
                let Some(ability) = pool.ability.parse() else {
                    continue;
                };
                match pool.is_broken() {
                    true => later.push(ability),
                    false => now.push(ability),
                }
            }
        }
        let is_known = !others.is_empty() && others.iter().all(|m| m.report.is_some());
        let is_incomplete = !is_known && self.shared.age() < self.discovery;
        RemoteCapabilities::new(now, later, is_incomplete)
    }

    /// Translates a job of this node on another one; `None` if that node is busy. `request` is JSON.
    pub(super) async fn translate_once(
        &self,
        node: &str,
        request: Vec<u8>,
        within: Duration,
    ) -> Result<Option<TranslationResult>> {
        forwarded_to(node);
        let span = self.traces.current();
        let leg = Leg::Forwarded;
        let what = Ask::Translate { request, leg, span };
        match self.ask(node, what, within).await? {
            Answer::Translated(result) => {
                let result = serde_json::from_slice(&result);
                result
                    .map(Some)
                    .with_context(|| format!("reading the result of {node}"))
            }
            Answer::Busy => Ok(None),
            other => bail!("{node}: {}", reason(other)),
        }
    }

    async fn translate_at(
        &self,
        node: &str,
        request: Vec<u8>,
        within: Duration,
    ) -> Result<TranslationResult> {
        let me = &self.shared.me().name;
        let span = self.traces.current();
        let leg = Leg::Whole;
        forwarded_to(node);
        let result = if node == me {
            let doing = self.host.translate(request, leg, span);
            let done = tokio::time::timeout(within, doing).await;
            done.with_context(|| format!("{me} does not answer in time"))?
                .map_err(|error| anyhow!(error))?
        } else {
            let what = Ask::Translate { request, leg, span };
            match self.ask(node, what, within).await? {
                Answer::Translated(result) => result,
                other => bail!("{node}: {}", reason(other)),
            }
        };
        serde_json::from_slice(&result).with_context(|| format!("reading the result of {node}"))
    }

    async fn ask(&self, node: &str, what: Ask, within: Duration) -> Result<Answer> {
        let gateway = self.shared.gateway_of(node);
        let gateway =
            gateway.with_context(|| format!("there is no connection to a node {node}"))?;
        let from = self.shared.speaker_to(node);
        let from = from.with_context(|| format!("there is no connection to a node {node}"))?;
        let bytes = message::write(&AskEnvelope { from, what })?;
        let asked = gateway.call(|reply| GatewayMessage::Ask(bytes, reply), Some(within));
        match asked.await {
            Ok(CallResult::Success(answer)) => Ok(message::read(&answer)?),
            Ok(CallResult::Timeout) => bail!("{node} does not answer in time"),
            Ok(CallResult::SenderError) | Err(_) => bail!("the connection to {node} has ended"),
        }
    }
}

/// Why a node cannot be asked, with the nodes that can; `None` if it can.
fn unreachable(node: &str, members: &[MemberView]) -> Option<String> {
    let is_reachable = |member: &&MemberView| match member.state {
        MemberState::Own => true,
        state => state.is_up() && member.linked,
    };
    let reachable: Vec<_> = members.iter().filter(is_reachable).collect();
    if reachable.iter().any(|member| member.node == node) {
        return None;
    }
    let names: Vec<_> = reachable.iter().map(|m| m.node.as_str()).collect();
    let what = match members.iter().find(|member| member.node == node) {
        Some(member) => format!("node {node:?} cannot be reached ({})", member.state.name()),
        None => format!("unknown node {node:?}"),
    };
    let names = names.join(", ");
    Some(format!(
        "{what}: the cluster has {names}; see `status --cluster`"
    ))
}

fn is_worth_another(result: &TranslationResult) -> bool {
    let code = result.error.as_ref().map(|error| error.code);
    matches!(
        code,
        Some(
            ErrorCode::ModelUnavailable
                | ErrorCode::ShuttingDown
                | ErrorCode::UnsupportedPair
                | ErrorCode::UnsupportedLanguage
        )
    )
}

fn reason(answer: Answer) -> String {
    match answer {
        Answer::Failed(error) => error,
        Answer::Busy => "it is overloaded".to_owned(),
        Answer::Translated(_) | Answer::Done(_) | Answer::Lent(_) => {
            "unexpected response".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: &str, state: MemberState, linked: bool) -> MemberView {
        MemberView {
            node: node.to_owned(),
            address: String::new(),
            incarnation: 1,
            state,
            linked,
            since_ms: 0,
            report: None,
        }
    }

    #[test]
    fn a_command_for_a_node_that_is_not_there_names_those_that_are() {
        let members = [
            member("a", MemberState::Own, true),
            member("b", MemberState::Alive, true),
            member("c", MemberState::Down, false),
            member("d", MemberState::Alive, false),
        ];
        assert_eq!(unreachable("a", &members), None);
        assert_eq!(unreachable("b", &members), None);
        let unknown = unreachable("x", &members).unwrap();
        assert!(
            unknown.starts_with("unknown node \"x\": the cluster has a, b;"),
            "{unknown}"
        );
        let down = unreachable("c", &members).unwrap();
        assert!(
            down.starts_with("node \"c\" cannot be reached (down): the cluster has a, b;"),
            "{down}"
        );
        assert!(unreachable("d", &members).is_some());
    }
}
