//! Indonesian.

use super::{UNIVERSAL, Words};

pub(super) const WORDS: Words = Words {
    fillers: "e, ee, eee, em, emm, eh, anu, ^nah, ^jadi, ^gini, apa ya, apa namanya, gimana ya",
    open: "dan, atau, tapi, tetapi, karena, kalau, kalo, jika, bahwa, supaya, agar, meskipun, walaupun, sedangkan, \
        sehingga, dengan, untuk, dari, di, ke, pada, oleh, yang, antara, tentang, serta, sebuah, seorang, para, \
        sang, sebagai, terhadap, bagi, ketika, sangat, namun, lalu, yaitu, adalah, ialah, yakni, maupun, karna, \
        buat, apabila, selain, menurut, daripada, soalnya, setiap, dan juga",
    soft: "seperti, sampai, saat, sebelum, sesudah, setelah, akan, lebih, terus, jadi, kemudian, misalnya, \
        contohnya, maksudnya, kayak, sama, satu, juga, mau, ingin, lagi, sedang",
    phrases: "nama saya!itu/siapa, nomor saya!itu/ini/berapa, nomor telepon saya!itu/ini/berapa, \
        nomor hp saya!itu/ini/berapa, alamat saya!itu/ini/di, email saya!itu/ini/ke/di, nama saya adalah, \
        nomor saya adalah, saya mau!yang/apa, saya ingin!yang/apa, saya butuh!yang/apa, saya perlu!yang/apa, \
        aku mau!yang/apa, aku ingin!yang/apa, mau tanya, saya ingin bertanya, ^tunggu, tunggu sebentar, \
        tunggu dulu, ^sebentar, sebentar ya, ^bentar, bentar ya, coba saya lihat, saya lihat dulu, saya cek dulu, \
        saya pikir dulu, apa itu namanya, masalahnya, masalahnya adalah, maksud saya!itu, begini",
    closing: "terima kasih, terimakasih, terima kasih banyak, makasih, makasih ya, terima kasih ya, itu saja, \
        itu aja, cuma itu, hanya itu, sampai jumpa, dadah, ^selesai, ^sekian, tidak ada lagi, ^cukup, sudah cukup, \
        selamat tinggal",
    finals: "dong, +ya!apa/gimana/jadi/terus/siapa, kan, deh",
    questions: "berapa, di mana, dimana, kapan, bagaimana, gimana, tidak ya, apa tidak, apa nggak, kenapa!tahu",
    answers: "ya, iya, tidak, nggak, enggak, gak, ga, bukan, boleh, oke, ok, okay, baik, betul, benar, tentu, \
        tentu saja, siap, sudah, belum, mau, setuju, bisa, yup, silakan, silahkan, terima kasih, makasih, pak, bu, \
        mas, mbak, mungkin, jangan, pasti, sip, itu benar, ada, perlu, tidak tahu, sepertinya, kayaknya, jelas, \
        tidak usah",
    digits: "nol, kosong, satu, dua, tiga, empat, lima, enam, tujuh, delapan, lapan, sembilan",
    twice: "dobel, double",
    tens: "sepuluh, sebelas, belas, puluh, ratus, seratus, ribu, seribu",
    number_fill: "dan, strip, plus, terus, lalu",
    joints: "koma!satu, titik!satu, strip!satu, garis miring",
    at: "at, et, keong",
    dot: "titik, dot",
    ..UNIVERSAL
};
