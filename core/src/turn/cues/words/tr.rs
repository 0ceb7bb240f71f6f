//! Turkish. The dotless ı is compared as i.

use super::{UNIVERSAL, Words};

pub(super) const WORDS: Words = Words {
    fillers: "ıı, ııı, ee, eee, ımm, ıım, şey!bir/her/çok/hiçbir/birçok/iki/birkaç/o/bu/şu/aynı, ^yani, ^işte, \
        ^hani, ^neyse, nasıl desem, nasıl diyeyim",
    open: "ve, veya, ya da, ama, fakat, çünkü, eğer, ile, ancak, lakin, hem, en, her, hangi, göre, rağmen, olarak, \
        ~yarak, ~yerek, üstelik, ayrıca, benim, bizim, senin, sizin, yahut, hem de, oysa, madem, şayet, sanki, \
        adlı, olan, ki ben, bir de",
    soft: "ki, için, gibi, ise, bir, bu, şu, daha, yani, hani, diye, kadar, dolayı, dair, mesela, örneğin, ben, \
        çok, olduğu, olduğunu",
    phrases: "benim adım, adım soyadım, benim numaram!bu/işte, telefon numaram!bu/benim/işte, cep telefonum!bu, \
        adresim!bu/benim, ^bir dakika, ^bir saniye, bir dakika bekleyin, bir saniye bekleyin, bir dakika lütfen, \
        bir saniye lütfen, ^bekleyin, ^bekle, ^dur, ^durun, bir bakayım, ^bakayım, bir düşüneyim, ^düşüneyim, \
        ne diyecektim, neydi o, şöyle ki, demek istediğim, sorun şu, sorun şu ki, şunu sormak istiyorum, \
        bir şey soracağım, bir şey sormak istiyorum",
    closing: "teşekkürler, teşekkür ederim, teşekkür ederiz, sağ olun, sağ ol, sağolun, sağol, hepsi bu, ^bu kadar, \
        hepsi bu kadar, hoşça kal, hoşça kalın, hoşçakal, hoşçakalın, görüşürüz, iyi günler, iyi akşamlar, \
        kolay gelsin, başka bir şey yok, güle güle, bay bay, başka yok",
    finals: "~yorum, ~yoruz, ~yorsunuz, lütfen, var, yok, değil, lazım, gerekiyor, olur, ~acağım, ~eceğim, ~acağız, \
        ~eceğiz, isterim, rica ederim",
    questions: "mı, mu, mü, mısın, mısınız, musun, musunuz, müsün, müsünüz, mıyım, miyiz, nedir, nerede, ne zaman, \
        ne kadar!o/her",
    answers: "evet, hayır, tamam, olur, olmaz, peki, tabii, tabi, tabii ki, tabi ki, elbette, doğru, aynen, \
        kesinlikle, yok, var, lütfen, yo, hı hı, hıhı, istemiyorum, istiyorum, belki, sanırım, değil, olabilir, \
        teşekkürler, teşekkür ederim, efendim, henüz değil, bilmiyorum, güzel, mümkün, onaylıyorum, öyle, yanlış, \
        hiç, asla, ok, okey",
    digits: "sıfır, bir, iki, üç, dört, beş, altı, yedi, sekiz, dokuz",
    twice: "çift",
    tens: "on, yirmi, otuz, kırk, elli, altmış, yetmiş, seksen, doksan, yüz, bin, on*, yirmi*, otuz*, kırk*, elli*, \
        altmış*, yetmiş*, seksen*, doksan*, yüz*",
    number_fill: "ve, tire, artı, sonra, boşluk",
    joints: "virgül!bir, nokta!bir, tire!bir, çizgi!bir",
    at: "et, at, kuyruklu a",
    dot: "nokta",
    ..UNIVERSAL
};
