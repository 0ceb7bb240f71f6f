//! Hindi in Devanagari, with the commonest words in Latin letters as some recognisers write them. The nukta is not compared.

use super::{UNIVERSAL, Words};

pub(super) const WORDS: Words = Words {
    fillers: "उम, उम्म, अं, अम्म, हम्म, मतलब!क्या/का/इसका/कोई/से, वो क्या कहते हैं, matlab!kya/ka",
    // Verbs end sentences, so postpositions that ask for one and all conjunctions are open.
    open: "और!कुछ, या, लेकिन, मगर, क्योंकि, क्यूंकि, कि, अगर, यदि, जो, जब, जैसे, बल्कि, के, ने, ताकि, चूंकि, तथा, \
        एवं, यानी, यानि, मेरे, मेरी, मेरा, मुझे, हमें, मैं, मैंने, हमारे, हमारी, हमारा, जिसका, वो, इसके, उसके, ये, \
        यह, इस, उस, aur, lekin, magar, kyunki, kyonki, agar, mera, meri, mere, mujhe, main",
    soft: "पर, तो, इसलिए, का, की, को, से, में, के लिए, के साथ, एक, हम, बहुत, वरना, फिर, अभी, आप, मेरे पास, ki, ke, \
        to, ya",
    phrases: "मेरा नाम, मेरा नाम है, मेरा नंबर, मेरा नंबर है, मेरा फोन नंबर, मेरा फोन नंबर है, मेरा पता, \
        मेरा पता है, मेरा ईमेल, मेरा ईमेल है, ^एक मिनट, ^एक सेकंड, एक मिनट रुकिए, ^रुकिए, ^रुको, जरा रुकिए, \
        सोचने दीजिए, सोचने दो, देखने दीजिए, ek minute, ek second, mera naam, mera number",
    closing: "धन्यवाद, शुक्रिया, थैंक यू, थैंक्यू, ^बस, इतना ही, और कुछ नहीं, बाय, बस यही, dhanyavaad, shukriya, \
        thank you, bas itna hi",
    finals: "है, हैं, हूँ, हूं, था, थी, थे, चाहिए, दीजिए, दीजिये, कीजिए, कीजिये, प्लीज, कृपया, ~ूँगा, ~ूँगी, ~ूंगा, \
        ~ूंगी, दो, hai, hain, hoon, chahiye, dijiye, kijiye, please",
    questions: "क्या, कहाँ है, कहां है, कब है, कितना है, hai kya",
    answers: "हाँ, हां, हा, जी, नहीं, ना, न, ठीक है, ठीक, सही, सही है, बिल्कुल, बिलकुल, जरूर, अच्छा, ओके, चलेगा, \
        कृपया, प्लीज, शायद, पता नहीं, मालूम नहीं, धन्यवाद, शुक्रिया, अभी नहीं, सर, मैडम, haan, ha, nahi, nahin, \
        theek hai, ji, bilkul, sahi hai, acha",
    digits: "शून्य, जीरो, एक, दो, तीन, चार, पांच, पाँच, छह, छः, छे, छ, सात, आठ, नौ, वन, टू, थ्री, फोर, फाइव, सिक्स, \
        सेवन, एट, नाइन, zero, one, two, three, four, five, six, seven, eight, nine",
    twice: "डबल, double",
    thrice: "ट्रिपल, triple",
    tens: "दस, ग्यारह, बारह, तेरह, चौदह, पंद्रह, सोलह, सत्रह, अठारह, उन्नीस, ~बीस, ~ईस, ~इस, ~तीस, ~चालीस, ~तालीस, \
        ~पचास, ~पन, ~वन, ~साठ, ~सठ, ~सत्तर, ~हत्तर, ~अस्सी, ~ासी, ~नब्बे, ~नवे, ~ानबे, सौ, हजार, लाख",
    number_fill: "और, है, डैश, फिर, जी",
    joints: "पॉइंट, पाइंट, दशमलव, डैश, डबल, ट्रिपल, point, dash, double, triple",
    at: "एट, ऐट, at",
    dot: "डॉट, dot",
    dot_com: "डॉटकॉम",
    endings: "कॉम, इन, नेट",
    ..UNIVERSAL
};
