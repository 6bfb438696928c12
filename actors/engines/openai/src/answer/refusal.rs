//! Answers in which a model says that it will not translate.

/// An answer is looked at so far, in characters.
const MAX_LENGTH: usize = 300;

/// Refusals in one language.
struct Refusals {
    /// The language.
    tag: &'static str,
    /// How they begin.
    starts: &'static [&'static str],
    /// What they are about.
    subjects: &'static [&'static str],
}

const REFUSALS: [Refusals; 7] = [
    Refusals {
        tag: "en",
        starts: &[
            "i'm sorry",
            "i am sorry",
            "sorry,",
            "i apologize",
            "i apologise",
            "my apologies",
            "i can't",
            "i cannot",
            "i can not",
            "i'm unable",
            "i am unable",
            "i'm not able",
            "i am not able",
            "unfortunately, i",
            "as an ai",
            "as a language model",
            "i must decline",
        ],
        subjects: &[
            "translat",
            "as an ai",
            "language model",
            "this request",
            "that request",
            "your request",
            "this content",
            "that content",
            "such content",
            "assist with",
            "comply",
            "fulfil",
            "inappropriate",
            "guidelines",
            "offensive",
            "harmful",
        ],
    },
    Refusals {
        tag: "fr",
        starts: &[
            "je suis désolé",
            "désolé",
            "je ne peux pas",
            "je m'excuse",
            "en tant qu",
        ],
        subjects: &[
            "tradui",
            "traduction",
            "modèle de langage",
            "cette demande",
            "votre demande",
            "ce contenu",
            "intelligence artificielle",
        ],
    },
    Refusals {
        tag: "de",
        starts: &[
            "es tut mir leid",
            "tut mir leid",
            "entschuldigung",
            "ich kann",
            "als ki",
            "als sprachmodell",
        ],
        subjects: &[
            "nicht übersetzen",
            "übersetzung",
            "sprachmodell",
            "diese anfrage",
            "diesen inhalt",
            "dieser anfrage",
        ],
    },
    Refusals {
        tag: "es",
        starts: &[
            "lo siento",
            "no puedo",
            "disculpa",
            "como modelo",
            "como ia",
        ],
        subjects: &[
            "traduc",
            "modelo de lenguaje",
            "esta solicitud",
            "esa solicitud",
            "este contenido",
            "ese contenido",
        ],
    },
    Refusals {
        tag: "pt",
        starts: &[
            "desculpe",
            "sinto muito",
            "lamento",
            "não posso",
            "como modelo",
            "como uma ia",
        ],
        subjects: &[
            "traduz",
            "tradução",
            "modelo de linguagem",
            "esta solicitação",
            "essa solicitação",
            "este conteúdo",
            "esse conteúdo",
        ],
    },
    Refusals {
        tag: "it",
        starts: &["mi dispiace", "non posso", "mi scuso", "come modello"],
        subjects: &[
            "tradu",
            "modello linguistico",
            "questa richiesta",
            "questo contenuto",
        ],
    },
    Refusals {
        tag: "zh",
        starts: &["抱歉", "对不起", "很抱歉", "我无法", "我不能", "作为"],
        subjects: &["翻译", "语言模型", "请求", "人工智能"],
    },
];

/// Words of sources that apologise or refuse themselves.
const APOLOGIES: [&str; 30] = [
    "sorry",
    "apolog",
    "can't",
    "cannot",
    "unable",
    "désolé",
    "desole",
    "peux pas",
    "pouvons pas",
    "regrett",
    "excus",
    "leid",
    "kann nicht",
    "können nicht",
    "siento",
    "puedo",
    "disculp",
    "perd",
    "desculp",
    "posso",
    "lamento",
    "dispiace",
    "scus",
    "抱歉",
    "对不起",
    "無",
    "无法",
    "不能",
    "申し訳",
    "できません",
];

/// Words of the same kind in other scripts.
const APOLOGIES_ELSEWHERE: [&str; 10] = [
    "すみません",
    "ごめん",
    "извин",
    "не могу",
    "вибач",
    "آسف",
    "عذر",
    "죄송",
    "미안",
    "συγγνώμη",
];

/// Whether an answer is a refusal. In the target language it may also be the translation of an apology.
pub(super) fn is_refusal(source: &str, answer: &str, target: &str) -> bool {
    let head: String = answer.chars().take(MAX_LENGTH).collect();
    let head = head.to_lowercase().replace('’', "'");
    let head = head.trim_start_matches(['"', '*', '“', '«', ' ']);
    let primary = target.split(['-', '_']).next().unwrap_or_default();
    REFUSALS.iter().any(|refusals| {
        let starts = refusals.starts.iter().any(|start| head.starts_with(start));
        let is_about = |subject: &&str| head.contains(subject);
        starts
            && refusals.subjects.iter().any(is_about)
            && !(is_same(primary, refusals.tag) && apologises(source))
    })
}

/// Whether a model spells the language in this way: `en`, `eng`.
fn is_same(primary: &str, tag: &str) -> bool {
    let language = primary.parse::<babelmesh_domain::Language>();
    language.is_ok_and(|language| language.as_str().split('-').next() == Some(tag))
}

fn apologises(source: &str) -> bool {
    let source = source.to_lowercase().replace('’', "'");
    let mut words = APOLOGIES.iter().chain(&APOLOGIES_ELSEWHERE);
    words.any(|word| source.contains(word))
}
