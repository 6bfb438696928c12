//! Which characters a Chinese text is written in.

use babelmesh_domain::Language;

/// Frequent characters whose simplified and traditional forms differ. Neither form is in use where the other one is, Japanese aside.
const SIMPLIFIED: &str = "们这时说对发过还没样经问开关长门见车电话东马书买卖钱铁飞头体让从进边远运动务员难认识谁读写语课听观觉欢乐兴爱亲热爷妈孙应该当实现义习节历农红绿";
const TRADITIONAL: &str = "們這時說對發過還沒樣經問開關長門見車電話東馬書買賣錢鐵飛頭體讓從進邊遠運動務員難認識誰讀寫語課聽觀覺歡樂興愛親熱爺媽孫應該當實現義習節歷農紅綠";

/// Chinese as it is written in a text: `zh` or `zh-Hant`. `None` where the text has no character that tells.
pub(super) fn written_in(text: &str) -> Option<Language> {
    let count = |characters: &str| text.chars().filter(|c| characters.contains(*c)).count();
    let tag = match (count(SIMPLIFIED), count(TRADITIONAL)) {
        (0, 0) => return None,
        (simplified, traditional) if traditional > simplified => "zh-Hant",
        _ => "zh",
    };
    tag.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_of_both_scripts() {
        assert_eq!(SIMPLIFIED.chars().count(), TRADITIONAL.chars().count());
        for (simple, traditional) in SIMPLIFIED.chars().zip(TRADITIONAL.chars()) {
            assert_ne!(simple, traditional);
            assert!(!TRADITIONAL.contains(simple), "{simple}");
        }
    }

    #[test]
    fn the_script_of_a_sentence_is_told() {
        let tag = |text| written_in(text).map(|language| language.to_string());
        assert_eq!(tag("请问火车站在哪里?这里没有车。").as_deref(), Some("zh"));
        assert_eq!(
            tag("請問火車站在哪裡?這裡沒有車。").as_deref(),
            Some("zh-Hant")
        );
        assert_eq!(tag("你好"), None);
    }
}
