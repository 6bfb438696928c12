//! The messages.

use crate::format::Format::{self, Html, Markdown, Srt, Text, Vtt, Xml};

/// A message, what of it must leave byte for byte, and what must be translated.
pub(super) type Case = (
    Format,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    // B08: entities are decoded for the model, and encoded again.
    (Html, "Tom &amp; Jerry are here.", &["&amp;"], &["are", "here"]),
    (Html, "I don&#39;t know.", &["&#39;"], &["know"]),
    (Html, "<p>5 &lt; 6 &amp;&amp; 7 &gt; 6 is so</p>", &["<p>", "&lt;", "&amp;&amp;", "&gt;", "</p>"], &[]),
    (Html, "She said &quot;yes&quot;.", &["&quot;"], &["said", "yes"]),
    // B09: what is not to be translated.
    (Html, "<p>Look at <span translate=\"no\">:happy dog:</span> now</p>", &["<span translate=\"no\">:happy dog:</span>"], &["Look", "now"]),
    (Html, "<p translate='no'>Best wishes</p><p>Hello</p>", &["<p translate='no'>Best wishes</p>"], &["Hello"]),
    (Html, "Hi <i class=notranslate>{0}</i>, good morning", &["<i class=notranslate>{0}</i>"], &["good", "morning"]),
    (Html, "<div class=\"x notranslate y\">Open <b>door</b></div><p>yes</p>", &["Open <b>door</b>"], &["yes"]),
    (Html, "<div translate=no>Stay <p translate=yes>Hello</p> put</div>", &["Stay ", " put"], &["Hello"]),
    // B10: mentions of Mastodon.
    (Html, "<p><span class=\"h-card\" translate=\"no\"><a href=\"https://a.example/@rose\" class=\"u-url mention\">@<span>rose</span></a></span> I love <a href=\"https://a.example/tags/Winter\" class=\"mention hashtag\" rel=\"tag\">#<span>Winter</span></a> <span translate=\"no\">:blobcat:</span> <a href=\"https://example.com/some/long/path\"><span class=\"invisible\">https://</span><span class=\"ellipsis\">example.com/some/lo</span><span class=\"invisible\">ng/path</span></a></p>", &[ "@<span>rose</span>", "#<span>Winter</span>", ":blobcat:", "<span class=\"invisible\">https://</span><span class=\"ellipsis\">example.com/some/lo</span><span class=\"invisible\">ng/path</span>", ], &["love"]),
    // B11: no prose.
    (Html, "<style>p { color: red } .big em</style><p>Hello</p>", &["<style>p { color: red } .big em</style>"], &["Hello"]),
    (Html, "<script>alert(\"Good morning\")</script><p>Hello</p>", &["alert(\"Good morning\")"], &["Hello"]),
    (Html, "<p>Run <code>make the build</code> first</p>", &["<code>make the build</code>"], &["Run", "first"]),
    (Html, "<pre>let the = door;\nopen the door</pre><p>Hello</p>", &["<pre>let the = door;\nopen the door</pre>"], &["Hello"]),
    // B12: tags over several lines.
    (Html, "<a\n  href=\"https://example.com/\"\n  title=\"Read more about the dog\">the dog</a>", &["<a\n  href=\"https://example.com/\"\n  title=\"Read more about the dog\">"], &["the", "dog"]),
    (Html, "<!-- first line\nsecond line of a comment -->\n<p>Hello</p>", &["<!-- first line\nsecond line of a comment -->\n"], &["Hello"]),
    (Html, "<img alt=\"a dog\"\nsrc=\"dog.png\"> Hello", &["<img alt=\"a dog\"\nsrc=\"dog.png\">"], &["Hello"]),
    // B14: inline tags.
    (Html, "<p>I <b>really</b> do <em><span>not</span></em> like it.</p>", &["<b>", "</b>", "<em><span>", "</span></em>"], &["really", "not", "like"]),
    // B31, B32: XML.
    (Xml, "The text is too long. Enter at most <placeholder value=\"max\"/> letters, <x id=\"tolgee-number\">5</x> now.", &[ "<placeholder value=\"max\"/>", "<x id=\"tolgee-number\">", "</x>", ], &["letters", "now"]),
    (Xml, "Some NA<sub>f</sub> &lt; 2<?pi some text?> here", &["<sub>", "</sub>", "&lt;", "<?pi some text?>"], &["here"]),
    // B37: printf.
    (Text, "Welcome %1$s, %d new letters are here", &["%1$s", "%d"], &["new", "letters"]),
    (Text, "Close %(door)s now", &["%(door)s"], &["Close", "now"]),
    (Text, "Loaded %5.2f%% of %@", &["%5.2f%%", "%@"], &["Loaded", "of"]),
    (Text, "I am 100% sure", &["100%"], &["sure"]),
    // B38: template languages.
    (Text, "The shop opens in %minutes% minutes", &["%minutes%"], &["shop", "opens"]),
    (Text, "You and :number friends", &[":number"], &["friends"]),
    (Text, "Your house is $HouseName", &["$HouseName"], &["house"]),
    (Text, "There are __total__ chairs", &["__total__"], &["chairs"]),
    (Text, "Hello [[first name]]", &["[[first name]]"], &["Hello"]),
    (Text, "The ###A01### is near the ###A02###", &["###A01###", "###A02###"], &["near"]),
    (Text, "Hi <%= user.name %>, good day!", &["<%= user.name %>"], &["good", "day"]),
    (Text, "Click $t(button.save)", &["$t(button.save)"], &["Click"]),
    (Text, "See @:common.ok", &["@:common.ok"], &["See"]),
    // B39: numbered tags.
    (Text, "Open <0>the box</0> or <1/> now, <1><2>the door</2></1>", &["<0>", "</0>", "<1/>", "<1><2>", "</2></1>"], &["the", "box", "door"]),
    // B40: chat systems.
    (Text, "Hi <@123456789012345678>, see <#987654321> at <t:1700000000:R>", &["<@123456789012345678>", "<#987654321>", "<t:1700000000:R>"], &["see"]),
    (Text, "Hello <@U024BE7LH>, read <https://example.com/a|our page>", &["<@U024BE7LH>", "<https://example.com/a|our page>"], &["read"]),
    (Text, "<!here> good morning", &["<!here>"], &["good", "morning"]),
    (Text, "Nice <:blob_cat:1234> <a:dance:99>", &["<:blob_cat:1234>", "<a:dance:99>"], &["Nice"]),
    (Text, "<@&55> hello", &["<@&55>"], &["hello"]),
    // B41: shortcodes.
    (Text, "Good morning :sun_with_face: my friend :+1:", &[":sun_with_face:", ":+1:"], &["morning", "friend"]),
    (Text, ":wave: Hello", &[":wave:"], &["Hello"]),
    (Text, "Note: see: this at 12:30:45", &[], &["Note", "see", "this"]),
    // B42: names of machines.
    (Text, "Ask @alice:chat.example.de or #room:example.org", &["@alice:chat.example.de", "#room:example.org"], &["Ask"]),
    (Text, "Visit bahn.de/fahrplan today", &["bahn.de/fahrplan"], &["Visit", "today"]),
    (Text, "Open localhost:3000 or 10.0.0.1:8080", &["localhost:3000", "10.0.0.1:8080"], &["Open"]),
    (Text, "See /etc/hosts and src/main.rs", &["/etc/hosts", "src/main.rs"], &["See", "and"]),
    (Text, "Run v1.2.3-rc.1 of a1b2c3d4e5f6", &["v1.2.3-rc.1", "a1b2c3d4e5f6"], &["Run"]),
    (Text, "The id is 3f2504e0-4f89-11d3-9a0c-0305e82c3301", &["3f2504e0-4f89-11d3-9a0c-0305e82c3301"], &["id"]),
    // B44: Markdown.
    (Markdown, "Read [our guide](docs/set-up.md \"The guide\") first.", &["](docs/set-up.md \"The guide\")"], &["our", "guide", "first"]),
    (Markdown, "Look ![a red dog](<img/red dog.png>){ align=right }", &["](<img/red dog.png>)", "{ align=right }"], &["Look", "red"]),
    (Markdown, "**Note:** _open_ the ~~old~~ door.[^1]\n\n[^1]: see\n", &["**", "_", "~~", "[^1]"], &["open", "old"]),
    (Markdown, "The value $x_1 + y^2$ is old.", &["$x_1 + y^2$"], &["value", "old"]),
    (Markdown, "Setext title\n======\n", &["\n======\n"], &["title"]),
    (Markdown, "# Title here\n\n- one thing\n- [ ] other thing\n\n> a quote of\n> two lines\n", &["# ", "- [ ] ", "\n> "], &["Title", "other", "quote", "lines"]),
    (Markdown, "| name | age |\n|---|:-:|\n| dog | old |\n", &["|---|:-:|"], &["name", "dog"]),
    // B46: code.
    (Markdown, "Run:\n\n    open the door --now\n\nThen wait.", &["    open the door --now\n"], &["Then", "wait"]),
    (Text, "Hello\n```\nlet x = 1;\n(no closing fence)\n\nGood morning", &["```\n"], &["Hello", "Good", "morning"]),
    (Text, "Hello\n```\nlet x = 1;\n```\nGood morning", &["let x = 1;"], &["Good", "morning"]),
    (Text, "First part \\n second part", &["\\n"], &["First", "second"]),
    // B48: BBCode.
    (Text, "[quote=\"rose, post:1, topic:2\"]Good morning[/quote]", &["[quote=\"rose, post:1, topic:2\"]", "[/quote]"], &["Good", "morning"]),
    (Text, "[url=https://example.com]the page[/url]", &["[url=https://example.com]", "[/url]"], &["the", "page"]),
    (Text, "[gallery ids=\"1,2\" type=\"circle\"] See the dog", &["[gallery ids=\"1,2\" type=\"circle\"]"], &["See", "dog"]),
    // B49, B50: subtitles.
    (Vtt, "WEBVTT Kind: captions\n\nNOTE a comment\n\nintro\n00:00:01.000 --> 00:00:04.000 align:start position:0%\n<v Rose>Good morning.\n", &[ "WEBVTT Kind: captions\n\nNOTE a comment\n\nintro\n00:00:01.000 --> 00:00:04.000 align:start position:0%\n<v Rose>", ], &["Good", "morning"]),
    (Text, "[00:01:05.250 --> 00:01:09.000] Where is my hat", &["[00:01:05.250 --> 00:01:09.000]"], &["Where", "hat"]),
    (Vtt, "00:01.000 --> 00:02.000\nWe <00:00:00.560>never <c>sleep</c>", &["<00:00:00.560>", "<c>", "</c>"], &["never", "sleep"]),
    (Srt, "1\r\n00:01:05,250 --> 00:01:09,000\r\nThe old man who lives\r\nnear the station is here.\r\n\r\n2\r\n00:01:10,000 --> 00:01:12,000\r\n<i>Good\r\nmorning</i>\r\n", &[ "1\r\n00:01:05,250 --> 00:01:09,000\r\n", "\r\n\r\n2\r\n00:01:10,000 --> 00:01:12,000\r\n<i>", "</i>\r\n", "\r\n", ], &["lives", "near", "morning"]),
    (Srt, "1\n00:00:01,000 --> 00:00:02,000\n{\\an8}Hello\\Nmy friend\n", &["{\\an8}", "\\N"], &["Hello", "friend"]),
    // B52: capitals; B55: emoji.
    (Text, "Good MORNING to GOod NIGHt", &[], &["MORNING"]),
    (Text, "My cat 🐈‍⬛ and the pilot 👩🏿‍🚀 are here!", &["🐈‍⬛", "👩🏿‍🚀"], &["cat", "pilot", "here"]),
    (Text, "1️⃣ First 2️⃣ Second", &["1️⃣", "2️⃣"], &["First", "Second"]),
    (Text, "🇫🇷🇩🇪 match today", &["🇫🇷", "🇩🇪"], &["match", "today"]),
    (Text, "OK👍thanks", &["👍"], &[]),
    (Text, "❤︎ (text style) ❤️", &["❤︎", "❤️"], &["text", "style"]),
    // Placeholders behind a number.
    (Text, "Room 12 %(name)s is here.", &["12", "%(name)s"], &["Room", "here"]),
    (Text, "On the 2nd %s items left.", &["%s"], &["items", "left"]),
    (Text, "Room 12 $Name is here.", &["12", "$Name"], &["Room", "here"]),
    (Text, "You have 3 %1$d) now", &["3", "%1$d"], &["have", "now"]),
    // Tokens beside a tag.
    (Html, "The %s<b>items</b> are here.", &["%s"], &["are", "here"]),
    (Html, "The <b>items</b>@ana are here.", &["@ana"], &["are", "here"]),
    (Html, "The <b>%s</b>items are here.", &["%s"], &["are", "here"]),
    (Html, "The ABC-123<b>items</b> are here.", &["ABC-123"], &["are", "here"]),
    (Markdown, "The %s**items** are here.", &["%s"], &["are", "here"]),
];
