"""What people say to agents, finished and not, in 24 languages: written for this project, none of it recorded or copied.

The tokenizers of the tests are trained on these lines (make.py), and the conversations of the parity test are drawn from them
(benches/text_turn_parity.py).
"""

SENTENCES = {
    "en": [
        "Hello, how can I help you today?", "I'd like to book a table for two, please.", "Well, I don’t know, um",
        "My number is 555-0142, and my e-mail is jo.bloggs@example.com.", "It costs $4.99 + 20% tax, doesn't it?",
        "So what I wanted to say is that", "“Yes” — that's it!", "OK #1 & #2 / 3 = done… right?",
    ],
    "es": [
        "¿En qué puedo ayudarle?", "¡Hola! Quería cambiar mi cita del martes.", "Pues… no sé, quizá mañana o",
        "Mi correo es ana_perez@ejemplo.es", "El niño comió piñas y", "Sí, señor: a las 18:30.",
    ],
    "fr": [
        "Bonjour, que puis-je faire pour vous ?", "J’aimerais réserver une chambre s’il vous plaît", "C'est-à-dire que, euh,",
        "« Peut-être », dit-elle.", "L'œuvre coûte 1 234,50 € environ", "Aujourd’hui ou après-demain",
    ],
    "de": [
        "Guten Tag, wie kann ich Ihnen helfen?", "Ich hätte gern zwei Fahrkarten nach Köln.", "Also ich weiß nicht, ob",
        "„Genau“, sagte er – oder?", "Die Straße heißt STRASSENWEG 12a", "Übermorgen um halb acht, bitte.",
    ],
    "it": [
        "Buongiorno, come posso aiutarla?", "Vorrei un caffè e un po’ d’acqua.", "Cioè, perché non", "È l'ultima volta!",
        "Il mio codice è A-B-C 12.34",
    ],
    "pt": [
        "Olá, em que posso ajudar?", "Eu queria marcar uma consulta para amanhã.", "Não sei se… então,", "O preço é R$ 30,00.",
        "A informação está na página três, não é?",
    ],
    "nl": [
        "Goedemiddag, waarmee kan ik u helpen?", "Ik wil graag m'n afspraak verzetten.", "Nou ja, ik dacht dat",
        "'s Avonds om acht uur?", "De ĳsvogel kost €3.",
    ],
    "ru": [
        "Здравствуйте, чем могу помочь?", "Я хотел бы заказать такси на завтра.", "Ну, я не знаю, может быть",
        "Меня зовут Пётр — П-ё-т-р.", "«Хорошо», сказала она!", "ЁЛКА стоит 500 ₽",
    ],
    "uk": ["Доброго дня, чим можу допомогти?", "Я б хотіла з’їсти щось, але", "Її ім'я — Оленка."],
    "el": ["Καλημέρα, πώς μπορώ να βοηθήσω;", "Θα ήθελα ένα εισιτήριο για τον ΟΔΟΣ ΣΟΦΟΣ.", "Δηλαδή, δεν ξέρω αν"],
    "zh": [
        "您好，请问有什么可以帮您？", "我想订明天下午三点的票。", "那个，我觉得", "号码是１２３４５，对吗？", "《红楼梦》多少钱？", "嗯……就是说、",
    ],
    "ja": [
        "こんにちは、ご用件は何でしょうか？", "明日の３時に予約したいんですが。", "えっと、その", "「はい」そうです！", "ﾃﾞｰﾀを送って下さい", "東京・大阪間で、",
    ],
    "ko": ["안녕하세요, 무엇을 도와드릴까요?", "내일 오후 세 시에 예약하고 싶어요.", "그러니까, 음", "이름은 김-철-수 입니다!", "전화번호는 010-1234-5678이고"],
    "id": ["Selamat pagi, ada yang bisa saya bantu?", "Saya mau pesan dua kamar untuk besok.", "Jadi begini, anu,", "Anak-anak belum datang."],
    "tr": ["Merhaba, size nasıl yardımcı olabilirim?", "İSTANBUL'a iki bilet istiyorum.", "Yani şey, belki", "Işıklar söndü mü?", "Ağrı’ya kadar gidip"],
    "hi": ["नमस्ते, मैं आपकी क्या मदद कर सकता हूँ?", "मुझे कल दोपहर तीन बजे का टिकट चाहिए।", "मतलब, मैं सोच रहा था कि", "क़ीमत ₹५०० है॥"],
    "bn": ["নমস্কার, কী সাহায্য করতে পারি?", "আমি কাল ঢাকা যাব।", "মানে, আমি"],
    "ta": ["வணக்கம், நான் எப்படி உதவலாம்?", "எனக்கு நாளை ஒரு டிக்கெட் வேண்டும்.", "அதாவது, நான்"],
    "ar": ["مرحبًا، كيف يمكنني مساعدتك؟", "أريد حجز غرفة لليلتين من فضلك.", "يعني، لا أعرف إذا", "الرقم هو ١٢٣٤؛ شكرًا!", "ﷺ ﻻ"],
    "he": ["שלום, במה אפשר לעזור?", "אני רוצה להזמין שולחן לשניים.", "כלומר, אני לא יודע אם", "צה״ל ו־ג׳ירפה"],
    "th": ["สวัสดีค่ะ มีอะไรให้ช่วยไหมคะ", "ผมอยากจองห้องพักสองคืนครับ", "คือว่า ผมก็"],
    "vi": ["Xin chào, tôi có thể giúp gì cho bạn?", "Tôi muốn đặt một bàn cho hai người.", "Ừm, tôi nghĩ là"],
    "ka": ["გამარჯობა, რით შემიძლია დაგეხმაროთ?", "მე მინდა ორი ბილეთი, მაგრამ"],
    "am": ["ሰላም፣ ምን ልርዳዎት?", "ነገ ሦስት ሰዓት ላይ እፈልጋለሁ።", "ማለቴ"],
}
