//! The two pipelines of a node: requests to jobs, jobs to results.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use anyhow::Result;
use babelmesh_actors::{
    domain::Language,
    events::Observer,
    flow::{Flow, WaterMarks},
};

use super::{
    Actors,
    parts::Shutdown,
    shutdown::Phase,
    source::{Source, Sources},
};
use crate::{
    config::Config,
    failure::Failures,
    kafka::{
        client::Clients,
        gauges::DeliveryGauges,
        jobs::JobReader,
        member::Member,
        ownership::Ownership,
        publisher::{Publisher, PublisherThread, Publishing, WriteTimeouts},
        publisher_handle::PublisherHandle,
        reader::{Departure, GroupDeparture, Handler, Reader, Reading},
        record::Encoder,
        rejected_records::Refusals,
        requests::Splitter,
        topic_health::TopicHealth,
        topic_watch::TopicWatch,
    },
    telemetry::Traces,
};

/// How long a node that goes for good may need to finish what it has before idle partitions are handed over meanwhile: that takes two rounds of the group.
const QUICK: Duration = Duration::from_secs(1);
/// How long a publisher may take to tell what is unfinished.
const TELL: Duration = Duration::from_millis(500);

/// Both pipelines.
pub(super) struct Pipelines {
    splitter: Pipeline,
    jobs: Pipeline,
    topics: Arc<TopicHealth>,
    _watch: TopicWatch,
}

struct Pipeline {
    group: String,
    /// The first topic that it reads.
    topic: Arc<str>,
    gauges: Arc<DeliveryGauges>,
    clients: Clients,
    reader: Reader,
    publisher: PublisherThread,
    flow: Arc<Flow>,
}

impl Pipelines {
    /// Starts both. `served` are the languages that requests may ask for, `own` those whose jobs this node reads.
    pub(super) fn start(
        config: &Config,
        clients: &Clients,
        (served, own): (&[Language], &[Language]),
        actors: &Actors,
        (observer, failures): (Arc<dyn Observer>, Failures),
        traces: &Traces,
    ) -> Result<Self> {
        let kafka = &config.kafka;
        let encoder = Encoder::new(&kafka.topics, &config.node.name);
        let health = Arc::new(TopicHealth::new(kafka.topics.all(served)));
        let build = Build {
            config,
            clients,
            encoder: encoder.clone(),
            health: Arc::clone(&health),
            observer,
            failures,
            traces,
        };
        let refusals = Refusals::new(encoder, config.intake.limits());
        let intake = actors.intake();
        let topics: Vec<_> = kafka.topics.all_jobs(own).collect();
        let sources = [std::slice::from_ref(&kafka.topics.requests), &topics].concat();
        let jobs = build.pipeline(&kafka.group_id, &topics, |publisher_handle, ownership| {
            JobReader::new(
                publisher_handle,
                ownership,
                refusals.clone(),
                intake,
                traces.clone(),
            )
        })?;
        let group = format!("{}-splitter", kafka.group_id);
        let requests = [kafka.topics.requests.clone()];
        let splitter = build.pipeline(&group, &requests, |publisher_handle, _| {
            Splitter::new(
                (publisher_handle, traces.clone()),
                refusals,
                kafka.topics.clone(),
                served.to_vec(),
                config.intake.limits(),
            )
        })?;
        Ok(Self {
            splitter,
            jobs,
            _watch: TopicWatch::start(clients, Arc::clone(&health), (&kafka.group_id, sources))?,
            topics: health,
        })
    }

    /// Status of requests and jobs.
    pub(super) fn sources(&self) -> Sources {
        Sources {
            requests: self.splitter.source(),
            jobs: self.jobs.source(),
            topics: Arc::clone(&self.topics),
        }
    }

    /// To tell the reader of jobs what to read.
    pub(super) fn jobs(&self) -> Reading {
        self.jobs.reader.reading()
    }

    /// Requests first: what they become is read by this node or another one. Blocks.
    pub(super) fn stop(self, shutdown: Shutdown) {
        // Requests are split within milliseconds; jobs take the time.
        let drain = || shutdown.budget.drain(Instant::now());
        let leaving = [
            self.splitter.stop(shutdown, drain() / 3),
            self.jobs.stop(shutdown, drain()),
        ];
        leaving.into_iter().for_each(GroupDeparture::wait);
    }
}

impl Pipeline {
    fn source(&self) -> Source {
        Source {
            ownership: self.reader.assignment(),
            flow: Arc::clone(&self.flow),
            lag: self.reader.lag(),
            delivery: Arc::clone(&self.gauges),
            heartbeats: self.reader.heartbeats(),
            topic: Arc::clone(&self.topic),
        }
    }

    /// Stops consuming, finishes in-flight work `within` a timeout, and starts to leave the group.
    fn stop(mut self, shutdown: Shutdown, within: Duration) -> GroupDeparture {
        let share = shutdown.budget.share(Phase::LeaveGroups);
        self.reader.stay(within.max(QUICK));
        self.publisher.finish(within);
        if shutdown.for_good
            && !self.publisher.is_finished_after(QUICK)
            && let Some(unfinished) = self.publisher.unfinished(TELL)
        {
            // Others need not wait for partitions where nothing is under way.
            self.reader.keep_only(&unfinished);
        }
        self.publisher.join(share);
        self.reader.stop(share);
        let (departure, within) = match shutdown.for_good {
            true => {
                let departure = Departure::ForGood {
                    group: self.group,
                    client_id: self.clients.client_id().to_owned(),
                };
                // What the drain has left is used for it: until all members have joined a rebalance that has begun, none can leave.
                (departure, shutdown.left(Phase::LeaveGroups).max(share))
            }
            false => (Departure::ToReturn, share),
        };
        self.reader.leave(departure, within)
    }
}

struct Build<'a> {
    config: &'a Config,
    clients: &'a Clients,
    encoder: Encoder,
    health: Arc<TopicHealth>,
    observer: Arc<dyn Observer>,
    failures: Failures,
    traces: &'a Traces,
}

impl Build<'_> {
    fn pipeline<H: Handler>(
        &self,
        group: &str,
        topics: &[String],
        handler: impl FnOnce(PublisherHandle, Ownership) -> H,
    ) -> Result<Pipeline> {
        let intake = &self.config.intake;
        let marks = WaterMarks {
            high: intake.high_water_tokens,
            low: intake.low_water_tokens,
        };
        let flow = Arc::new(Flow::new(marks));
        let (sender, commands) = mpsc::channel();
        let publisher_handle = PublisherHandle::new(sender);
        let revoke_within = Duration::from_millis(self.config.kafka.revoke_timeout_ms);
        let ownership = Ownership::default();
        let gauges = Arc::new(DeliveryGauges::default());
        let member = Arc::new(Member::new(
            self.clients.member(group),
            publisher_handle.clone(),
            (ownership.clone(), Arc::clone(&gauges)),
            revoke_within,
        )?);
        let handler = handler(publisher_handle.clone(), ownership.clone());
        let publishing = Publishing {
            member: Arc::clone(&member),
            ownership,
            encoder: self.encoder.clone(),
            topics: Arc::clone(&self.health),
            timeouts: WriteTimeouts {
                block_after: Duration::from_millis(self.config.kafka.block_topic_after_ms),
                answer_after: Duration::from_millis(self.config.kafka.answer_jobs_after_ms),
            },
            observer: Arc::clone(&self.observer),
            flow: Arc::clone(&flow),
            gauges: Arc::clone(&gauges),
            failures: self.failures.clone(),
            traces: self.traces.clone(),
            source: topics.first().cloned().unwrap_or_default(),
        };
        let publisher = Publisher::start(
            self.clients.publisher(group),
            self.clients.delivery(),
            publishing,
            (publisher_handle.clone(), commands),
        )?;
        let observer = Arc::clone(&self.observer);
        let failures = self.failures.clone();
        let reader = Reader::start(
            member,
            (topics, Arc::clone(&self.health)),
            Arc::clone(&flow),
            observer,
            failures,
            handler,
        )?;
        Ok(Pipeline {
            group: group.to_owned(),
            topic: topics
                .first()
                .map(String::as_str)
                .unwrap_or_default()
                .into(),
            gauges,
            clients: self.clients.clone(),
            reader,
            publisher,
            flow,
        })
    }
}
